"""Measure of overlooked errors.

Source: Chen et al. 2024, arXiv:2402.10669 (fallacy oversight); Ye et al. 2024, arXiv:2410.02736 (CALM, fallacy).
"""

from __future__ import annotations

import numpy as np

from auditkit.attacks.probes.edited import is_exact, unmeasured
from auditkit.attacks.probes.estimates import compared, mean_of, share_of, sign_test, verdicts
from auditkit.attacks.probes.protocol import CLEAN, Outcomes, Part, Probe, ProbeResult
from auditkit.attacks.probes.wording import between, percent
from auditkit.errors import NoData

__all__ = ["overlooked"]


def overlooked(probe: Probe, outcomes: Outcomes) -> ProbeResult:
    """Measure whether an error planted in a right answer is overlooked more easily than an openly wrong answer.

    The statistic is how well the copy with the error does against the right answer (a tie counts half; 0 is perfect, a
    half is guessing); its control the same for the known wrong answer; McNemar's exact test by prompt, one-sided: that a
    planted error is found more easily than an open one does no harm.
    """
    statistic = "error overlooked (share)"
    planted, clean = outcomes.games("planted"), outcomes.games(CLEAN)
    exact = is_exact(planted, clean)
    try:
        found = compared(planted, clean, outcomes.codes, outcomes.level, shares=True, exact=exact, greater=True)
    except NoData as error:
        return unmeasured(probe, statistic, str(error))
    level, codes = outcomes.level, outcomes.codes
    known = np.isfinite(planted)
    missed = share_of(np.where(known, (planted >= 0.5).astype(np.float64), np.nan), codes, level, "miss rate")
    kept = np.where(
        known & np.isfinite(clean), (verdicts(planted, True) == verdicts(clean, True)).astype(np.float64), np.nan
    )
    guess = mean_of(planted - 0.5, codes, level, "better than guessing")
    better = Part(
        guess.name, None if guess.estimate is None else -guess.estimate,
        None if guess.ci is None else (-guess.ci[1], -guess.ci[0]), guess.n, sign_test(planted - 0.5, codes)[0],
    )  # fmt: skip
    parts = (missed, share_of(kept, codes, level, "robustness rate (RR)"), better)
    rate, control = found.estimate.estimate or 0.0, found.control.estimate or 0.0
    stands_out = found.p_value is not None and found.p_value < 1.0 - level
    compare = f"{percent(rate)} of the games, an openly wrong answer in {percent(control)}"
    sentence = (
        f"A copy with one planted error beats or ties the right answer in {compare}: {between(found.difference)}."
        if stands_out
        else f"Planted errors are not overlooked more than open ones, as far as can be told: {compare}."
    )
    return ProbeResult(
        probe.id, statistic, found.estimate.estimate, found.estimate.ci, found.n, found.control.estimate,
        found.control.ci, "wrong answer", found.difference.estimate, found.difference.ci, found.p_value, parts,
        sentence, probe.mend,
    )  # fmt: skip
