"""What every control does and when it misleads, what every rule looks at, and what would change its outcome.

The texts of our own controls stand here; a plugin's control brings its own along (`auditkit.records.Explanation`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from auditkit.records import Explanation
from auditkit.reports.report import Reason, SubmissionReport
from auditkit.reports.wording import amount, name, number, plain, share

__all__ = ["EXPLANATIONS", "GATES", "RULES", "Rule", "explained", "remedy", "rule_title", "rule_value"]

#: What holds if a harness gate holds.
GATES: Final[Mapping[str, str]] = {
    "H1": "An answer changes nothing outside its own slot of the prompt",
    "H2": "The slots can be read back from the prompt",
    "H3": "The verdict is read from the judge's last words only",
    "H4": "A verdict outside the labels or the scale is refused",
    "H5": "A missing verdict is counted",
    "H6": "All prompts are there",
    "H7": "Duplicate rows count once",
    "H8": "Both orders are played, or the place cannot be foreseen",
    "H9": "Length is measured on the raw answer",
    "H10": "No judge judges itself",
    "H11": "Intervals take the prompt as the unit",
    "H12": "No verdict crashes the parser or the aggregation",
}

_STAR: Final = "Arena-Hard: Li et al. (2024); arena-hard-auto, show_result.py and utils_math.py"
_ARENA: Final = "FastChat, rating_systems.py; LMSYS, Does style matter? (2024)"
_WILDBENCH: Final = "Lin et al., arXiv:2406.04770, section 4; WildBench, _create_tables.py"
_MT_BENCH: Final = "Zheng et al., arXiv:2306.05685; FastChat, llm_judge/show_result.py"
_JUDGES: Final = "Zeng et al., arXiv:2310.07641 (LLMBar); Tan et al., arXiv:2410.12784 (JudgeBench)"

EXPLANATIONS: Final[Mapping[str, Explanation]] = {
    "raw": Explanation(
        "Nothing: the score as it was judged.",
        "100 · mean(outcome) over games with a verdict; a win is 1, a tie ½, a soft verdict its probability",
        "alpaca_eval v0.6.6, metrics/helpers.py",
        "Whenever the judge likes something that is not quality, and where verdicts are not missing by chance: compare the three bounds under data quality.",
    ),
    "position_balanced": Explanation(
        "The place in which an answer is shown: both orders weigh half.",
        "½ · (win rate shown first + win rate shown second)",
        "Wang et al., arXiv:2305.17926; Shi et al., arXiv:2406.07791",
        "Where each pair was judged in one order only: the two orders are then two groups of prompts, which may differ in difficulty.",
    ),
    "swap_and_tie": Explanation(
        "Disagreement between the two orders: such a pair is a tie.",
        "100 · mean over pairs of 1 if both orders say won, 0 if both say lost, else ½",
        "Zheng et al., arXiv:2306.05685, section 3.4; FastChat, show_result.py",
        "As a measure of position: without ties among the verdicts it equals the mean of both games.",
    ),
    "length_controlled": Explanation(
        "The length of the answers, by AlpacaEval's published model of each submission.",
        "P(win) = σ(θ + φ · tanh(Δlength / sd) + ψ · difficulty); score = 100 · mean over prompts of P with the length term at 0",
        "Dubois et al., arXiv:2404.04475; alpaca_eval v0.6.6, metrics/glm_winrate.py",
        "Where lengths hardly overlap: an answer cut to a few characters gains points it did not earn, and a constant answer rises. The published standard error is the spread of fitted probabilities, far too small.",
    ),
    "length_controlled_aligned": Explanation(
        "The length of the answers, with every prompt's difficulty joined by its instruction.",
        "as length controlled; upstream takes difficulty by the row's place in the file, so that a missing row shifts all later ones",
        "Dubois et al., arXiv:2404.04475; our own join",
        "As length controlled. It differs from the published figure exactly where rows are missing.",
    ),
    "length_matched": Explanation(
        "The length of the answers, without a model: only pairs of similar length count.",
        "100 · mean(outcome) over games in which neither answer is more than 1.25 times as long as the other",
        "our own",
        "Matched prompts are no random part of the benchmark: prompts with short answers match more often. Fewer than 30 of them: undefined.",
    ),
    "style_controlled": Explanation(
        "Length and markdown: characters, headers, lists, bold, code, tables, links, quotes, emoji.",
        "P(win) = σ(α + Σ β · (own − baseline) / (own + baseline + 1)); score = 100 · σ(α), no difference in anything",
        "our own, one regression a submission; features after FastChat; interval: Liang and Zeger (1986)",
        "With few prompts for many features, and where answers are never alike in style: the line is then read off where nothing was seen. What hardly varies is not controlled, and named.",
    ),
    "arena_hard": Explanation(
        "Nothing: Arena-Hard's score, in which a strong verdict counts several times.",
        "100 · Σ w · outcome / Σ w, w = 3 for a strong verdict and 1 otherwise; with one baseline this is the Bradley-Terry win rate",
        _STAR,
        "As the raw win rate; besides, a judge that is loud about style is heard three times.",
    ),
    "arena_hard_published": Explanation(
        "Nothing: the same score with the interval that the benchmark publishes.",
        "percentiles of 100 rounds that resample rows, copies of strong verdicts included",
        _STAR,
        "Its interval takes the two games of a prompt and the copies of a strong verdict for independent: it is too narrow.",
    ),
    "arena_hard_style": Explanation(
        "Tokens, headers, lists and bold, by slopes that all submissions share.",
        "P(win) = σ(r(model) − r(baseline) + β · z), z: standardised style differences, centred; score = 100 · σ(r(model) − r(baseline))",
        _STAR,
        "The score is read at the mean style difference of the submissions that happen to be in the field, and changes with them. Upstream's v2.0 optimiser stops early: figures agree to about a point.",
    ),
    "bradley_terry": Explanation(
        "Whom a submission met: opponents of different strength.",
        "P(a beats b) = σ(r(a) − r(b)); score = 100 · mean over the other submissions of P",
        "Bradley and Terry (1952)",
        "The score is the chance to beat this field, and changes with it. One scale of strength is assumed.",
    ),
    "chatbot_arena_style": Explanation(
        "Tokens, headers, lists and bold, and whom a submission met.",
        "P(a beats b) = σ(r(a) − r(b) + β · z), ridge C = 1; score = 100 · mean over the other submissions of P at z = 0",
        _ARENA,
        "It depends on the field, and the ridge draws strengths together where games are few.",
    ),
    "chatbot_arena_style_unpenalised": Explanation(
        "Tokens, headers, lists and bold, and whom a submission met.",
        "as Chatbot Arena style control, without the ridge",
        _ARENA,
        "It depends on the field.",
    ),
    "joint": Explanation(
        "Length, style and position at once, prompt difficulty taken into account.",
        "P(win) = σ(α + order + tanh(Δlength / sd) + style ratios + difficulty), each with its slope; score = 100 · mean of P at equal length and style over both orders and all prompts",
        "our own; Papke and Wooldridge (1996); Liang and Zeger (1986)",
        "Where what makes answers good also makes them long: the regression gives that part to length. With little overlap it is an extrapolation.",
    ),
    "wildbench_score": Explanation(
        "Nothing: the judge's mean rating.",
        "mean of the ratings from 1 to 10 over all items",
        _WILDBENCH,
        "At the top of the scale, where a judge runs out of numbers.",
    ),
    "wildbench_score_adjusted": Explanation(
        "Nothing: the mean rating, centred as the leaderboard shows it.",
        "(mean rating − 5) · 2",
        _WILDBENCH,
        "As the mean rating: 0 is the middle of the scale, not of the field.",
    ),
    "wildbench_k": Explanation(
        "Length, by a rule: a slight win by an answer that is more than K characters longer is a tie.",
        "100 · mean of ±1 (much better), ±½ (slightly better), 0 (tie), after the rule; K off: no rule",
        _WILDBENCH,
        "Items that were not counted stay in the published denominator and draw every reward towards zero; the note has the reward over counted items. Much better stays a win at any length.",
    ),
    "mt_bench": Explanation(
        "Nothing: the judge's mean rating over both turns.",
        "mean of the ratings from 1 to 10 over all rows that have one",
        _MT_BENCH,
        "At the top of the scale; and where ratings of one turn are missing, the other weighs more.",
    ),
    "mt_bench_turn": Explanation(
        "The turn of the conversation.", "mean of the ratings of this turn", _MT_BENCH, "At the top of the scale."
    ),
    "mt_bench_pair": Explanation(
        "Disagreement between the two orders: such a pair is a tie.",
        "100 · (wins + ½ ties) / pairs; won or lost only if both orders say so",
        _MT_BENCH,
        "Pairs with an error in either game are left out: compare the counts in the note.",
    ),
    "judge_accuracy": Explanation(
        "The right answer: these pairs have a known one.",
        "100 · share of verdicts that name the right answer; ties and unparsed verdicts are not right",
        _JUDGES,
        "If read in one order only: a judge that always says A is right in half of them. It holds for pairs like these.",
    ),
    "judge_accuracy_both_orders": Explanation(
        "Place and right answer.", "100 · share of pairs judged right in both orders", _JUDGES, "Guessing gives 25%, not 50%."
    ),
    "judge_accuracy_net": Explanation(
        "Place and right answer.",
        "100 · share of pairs with more right than wrong verdicts over both orders",
        _JUDGES,
        "Right once and tied once counts as right, as JudgeBench counts it.",
    ),
    "judge_agreement": Explanation(
        "Nothing.",
        "100 · share of pairs with the same verdict in both orders",
        _JUDGES,
        "A judge that always ties agrees with itself.",
    ),
}  # fmt: skip
#: Families of which every member is explained alike.
_FAMILIES: Final = ("wildbench_k", "mt_bench_turn", "mt_bench_pair", "wildbench_score", "mt_bench", "judge_accuracy")


def explained(control: str) -> str:
    """Return the key of `EXPLANATIONS` that explains `control`, "" where none of ours does."""
    if control in EXPLANATIONS:
        return control
    return next((family for family in _FAMILIES if control.startswith(f"{family}_")), "")


class Rule(NamedTuple):
    """A rule of the policy in a reader's words: its name, its name where it fails, how its numbers are shown, what mends it."""

    title: str
    broken: str
    unit: str
    mend: str
    unmeasured: str = ""


#: By the names of `auditkit.rules.RULES`. Units: ``share`` is shown in percent.
RULES: Final[Mapping[str, Rule]] = {
    "detectors_reject": Rule(
        "No detector rejects the answers", "Detectors reject the answers", "flags",
        "Answers that are written for each prompt and hold nothing that is addressed to the judge; the quotations show what to take out.",
    ),
    "games_recorded": Rule("Verdicts are recorded one by one", "Only counts are recorded", "prompts", "Publish the verdicts game by game: counts cannot be audited."),
    "prompts": Rule("Enough prompts", "Too few prompts", "prompts", "Judge more prompts."),
    "precision": Rule("The interval is narrow enough", "The interval is too wide", "points", "Judge more prompts."),
    "coverage": Rule("The benchmark is covered", "Prompts are missing", "share", "Answer and judge the prompts that are missing."),
    "gates": Rule("The harness holds", "The harness can be broken", "gates", "Mend the harness where a gate fails, then judge again."),
    "missing": Rule("Few verdicts are missing", "Verdicts are missing", "points", "Ask the judge again where a verdict is missing or could not be read."),
    "detectors_review": Rule("No detector asks for a review", "Detectors ask for a review", "flags", "A person looks at the flagged answers and records the outcome."),
    "null_floor": Rule(
        "No constant answer scores higher", "A constant answer scores higher", "points",
        "A judge that gives an answer without content no points. The submitter can do nothing about it.",
        "Judge one constant answer to every prompt beside the submissions.",
    ),
    "controls": Rule("A control of length or style exists", "No control of length or style exists", "controls", "Record the answers beside the verdicts, so that length and style can be held fixed."),
    "overlap": Rule("Answers of similar length were compared", "Answers of similar length are rare", "share", "A baseline whose answers are about as long, or more prompts on which they are."),
    "control_spread": Rule("The controls agree", "The controls disagree", "points", "Say before the run which control counts: this score depends on what is held fixed."),
    "position": Rule("Position matters little", "The place of an answer decides", "points", "Judge every pair in both orders: the place then cancels.", "Record which answer was shown first."),
    "judge": Rule(
        "The judge knows right from wrong", "The judge may not know right from wrong", "percent", "Another judge model, or another judge prompt, that does better than a coin on pairs with a known answer.",
        "Put the judge to pairs with a known answer (auditkit stress).",
    ),
    "attacks_played": Rule("Enough attacks were played", "Too few attacks were played", "attacks", "Play more attacks (auditkit attack).", "Play attacks (auditkit attack)."),
    "uplift": Rule(
        "No attack gains much", "An attack gains much", "points", "A judge that does not fall for the attacks below; each names what stops it.",
        "Play attacks against this judge (auditkit attack): until then nobody knows what a trick gains.",
    ),
}  # fmt: skip


def rule_title(rule: str, *, broken: bool = False) -> str:
    """Return the name of a rule, or what it is called where it fails; one that we do not know with its underscores opened."""
    if rule in RULES:
        return RULES[rule].broken if broken else RULES[rule].title
    text = name(rule.replace("_", " "), 60)
    return text[0].upper() + text[1:]


def rule_value(rule: str, value: float | None) -> str:
    """Return a rule's value or threshold in its unit."""
    unit = RULES[rule].unit if rule in RULES else ""
    if value is None:
        return plain(value)
    if unit == "share":
        return share(value)
    if unit in ("points", "percent"):
        return f"{number(value)}{'%' if unit == 'percent' else ' points'}"
    if not unit:
        return plain(value)
    return f"{plain(value)} {unit[:-1] if value == 1 else unit}"


def remedy(submission: SubmissionReport, reason: Reason) -> str:
    """Return what would change the outcome of `reason`, as far as we know the rule; "" where nothing is to be done."""
    rule = RULES.get(reason.rule)
    if rule is None or reason.status == "pass":
        return ""
    if reason.status == "not_measured":
        return rule.unmeasured
    if reason.rule == "prompts" and reason.threshold is not None:
        return f"Judge at least {number(reason.threshold, 0)} prompts."
    if reason.rule == "precision" and reason.value and reason.threshold:
        needed = submission.n * (reason.value / reason.threshold) ** 2
        return f"Judge more prompts: about {amount(int(needed) + 1)} would do, if they are like these."
    if reason.rule == "coverage" and submission.quality.missing:
        return f"Answer and judge the {amount(submission.quality.missing)} prompts that are missing."
    return rule.mend
