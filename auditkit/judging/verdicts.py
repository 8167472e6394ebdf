"""One verdict: the request that asks for it, and the attempts that it takes to read it.

Runs and attacks both ask through here, so that an attack meets the judge exactly as a submission does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from auditkit.judging.asking import Address, Asker, Found
from auditkit.judging.calls import Completion, Request
from auditkit.judging.inputs import Prompt
from auditkit.judging.nonces import with_label_nonce
from auditkit.judging.parse import parse_verdict
from auditkit.judging.parsed import Parsed
from auditkit.judging.protocol import retry_messages
from auditkit.judging.render import render
from auditkit.judging.spec import Item, JudgeSpec
from auditkit.records import Order

__all__ = ["draw_number", "request_for", "verdict_of"]


def draw_number(judge: JudgeSpec, sample: int, attempt: int) -> int:
    """Return the sample number of an attempt: a request that is sent again unchanged is another draw."""
    return sample if judge.retry_text else sample * (judge.retries + 1) + attempt


def request_for(
    judge: JudgeSpec,
    judge_model: str,
    prompt: Prompt,
    texts: Sequence[Sequence[str]],
    order: Order,
    *,
    turn: int,
    item: int | None = None,
    sample: int = 0,
    nonce: str | None = None,
) -> Request:
    """Render the first request for a verdict.

    Args:
        judge: The judge.
        judge_model: ``client/model``.
        prompt: What was asked.
        texts: The answers, turn by turn, the model's first; one where the judge sees one.
        order: Which of two is shown first.
        turn: How many turns are judged together.
        item: Which item is asked about, where the judge goes through a list.
        sample: Number of the game's draw.
        nonce: Put into tags and verdicts as the judge has it (`auditkit.judging.nonces.nonce_of`); None for none.

    Raises:
        InputError: The prompt does not fit the judge.
    """
    rendered = render(
        judge,
        turns=prompt.turns[:turn],
        answers=[tuple(text[:turn]) for text in texts],
        order=order if len(texts) == 2 else "model_first",
        category=prompt.category,
        reference=prompt.reference[:turn] or None,
        checklist=prompt.checklist,
        history=prompt.history,
        item=item,
        nonce=nonce,
    )
    return Request(judge_model, rendered.messages, dict(judge.params), draw_number(judge, sample, 0))


async def verdict_of(
    judge: JudgeSpec,
    request: Request,
    found: Found,
    asker: Asker,
    address: Address,
    *,
    sample: int = 0,
    items: Sequence[Item] = (),
    nonce: str | None = None,
    each: Callable[[Request, Completion], None] = lambda request, completion: None,
) -> Parsed:
    """Ask until a verdict can be read, as often as the judge allows; after that it is recorded as unparsed.

    Args:
        judge: The judge.
        request: The first request, from `request_for`.
        found: What the store says of it.
        asker: Whom to ask through.
        address: The judge's.
        sample: Number of the game's draw.
        items: The items of a criteria judge.
        nonce: The one that the request was rendered with.
        each: Told of every request and what came back.

    Raises:
        CallError: A call gave no completion.
        BudgetReached, Halted, StoreError: As `Asker.ask`.
    """
    judge = with_label_nonce(judge, nonce)
    earlier: list[str] = []
    for attempt in range(judge.retries + 1):
        completion = found.stored.get(request.key)
        if completion is None:
            completion = await asker.ask(request, address, granted=request.key in found.granted)
        each(request, completion)
        verdict = parse_verdict(judge, completion, earlier=earlier, items=items)
        if verdict.parsed or not verdict.retry:
            break
        earlier.append(completion.text)
        messages = retry_messages(judge, request.messages, completion.text)
        request = Request(request.model, messages, request.params, draw_number(judge, sample, attempt + 1))
    return verdict
