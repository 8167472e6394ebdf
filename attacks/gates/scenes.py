"""Where an answer can stand in a judge's prompts, and what stands around it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from auditkit.errors import InputError
from auditkit.judging.calls import Message
from auditkit.judging.inputs import Prompt
from auditkit.judging.render import Rendered, items_of, pick_template, render
from auditkit.judging.spec import JudgeSpec
from auditkit.records import Order

__all__ = ["NONCE", "PLACEHOLDER", "Scene", "scenes_of"]

#: Stands in an answer's place to find it. Letters alone, in no template: no renderer treats it specially.
PLACEHOLDER: Final = "QzPlaceholderQz"
#: Stands for a run's secret, in tags and verdicts.
NONCE: Final = "0123456789abcdef"
_MOST: Final = 12
_WORLDS: Final = (
    Prompt(
        "w0", ("Why is the sky blue?", "And at sunset?"), history=(Message("user", "Hi."), Message("assistant", "Hello.")),
        checklist=("Does it name scattering?", "Is it short?"), reference=("Rayleigh scattering.", "A longer path."),
    ),
    Prompt(
        "w1", ("Name a prime number.", "Name a larger one."), history=(Message("user", "Morning."), Message("assistant", "Yes?")),
        checklist=("Is it a prime?", "Is it one number?"), reference=("Seven.", "Eleven."),
    ),
)  # fmt: skip
_OTHERS: Final = (("Because of how light scatters.", "Red light is left."), ("Two is one.", "Try thirteen."))
_BEFORE: Final = (("An earlier answer.",), ("What was said before.",))


@dataclass(frozen=True)
class Scene:
    """A judge, a prompt and a place: the answer shown first or second, in its last turn.

    `prompts` are two prompts of one shape with nothing in common, so that what depends on them shows.
    """

    spec: JudgeSpec
    prompts: tuple[Prompt, Prompt]
    place: int
    item: int | None = None
    nonce: str | None = None

    @property
    def where(self) -> str:
        """Name the place, for people."""
        if not self.spec.pairwise:
            return "the answer"
        return f"the answer shown {'second' if self.place else 'first'}"

    def show(self, text: str, world: int = 0) -> Rendered | str:
        """Render with `text` as the answer; where upstream's own code would stop, return how."""
        prompt = self.prompts[world]
        turns = len(prompt.turns)
        answer = (*_BEFORE[world] * (turns - 1), text)
        other = (*_OTHERS[world] * turns,)[:turns]
        answers = ((answer, other) if self.place == 0 else (other, answer)) if self.spec.pairwise else (answer,)
        order: Order = "model_first"
        try:
            return render(
                self.spec, turns=prompt.turns, answers=answers, order=order, category=prompt.category,
                reference=prompt.reference, checklist=prompt.checklist, history=prompt.history, item=self.item,
                nonce=self.nonce,
            )  # fmt: skip
        except InputError as error:
            return error.problem

    def plain(self, world: int = 0) -> Rendered:
        """Render with the placeholder as the answer."""
        return _plain(self, world)


@lru_cache(maxsize=256)
def _plain(scene: Scene, world: int) -> Rendered:
    shown = scene.show(PLACEHOLDER, world)
    if isinstance(shown, str):
        raise InputError(shown)
    return shown


def scenes_of(spec: JudgeSpec, prompts: Sequence[Prompt] = ()) -> tuple[Scene, ...]:
    """Return places in which an answer is shown: every template, both answers, with and without what is optional.

    Args:
        spec: The judge.
        prompts: Prompts to use instead of made-up ones; those that do not fit the judge are left out.

    Returns:
        At most a dozen scenes, no two with the same template, values shown and place; empty if no prompt fits.
    """
    found: dict[object, Scene] = {}
    for one, other in _pairs(spec, prompts):
        for scene in _places(spec, one, other):
            try:
                plain = scene.plain(), scene.plain(1)
                template, _ = pick_template(
                    spec, turns=len(one.turns), category=one.category, reference=bool(one.reference)
                )
            except (InputError, ValueError):
                continue
            if not any(PLACEHOLDER in message.content for message in plain[0].messages):
                continue
            found.setdefault((spec.templates.index(template), plain[0].names, scene.place, bool(scene.nonce)), scene)
    return tuple(found.values())[: _MOST + len(prompts)]


def _pairs(spec: JudgeSpec, prompts: Sequence[Prompt]) -> Iterator[tuple[Prompt, Prompt]]:
    if prompts:
        for prompt in prompts:
            yield prompt, _like(prompt)
        return
    categories = ["", *(c for t in spec.templates for c in t.categories), *spec.reference_categories]
    # The fullest prompts first: they have the most to leak.
    for extras in (True, False):
        for turns in (1, 2):
            for category in dict.fromkeys(categories):
                for reference in (True, False):
                    yield tuple(_cut(w, turns, category, reference, extras) for w in _WORLDS)  # type: ignore[misc]


def _cut(world: Prompt, turns: int, category: str, reference: bool, extras: bool) -> Prompt:
    return Prompt(
        world.id, world.turns[:turns], category, history=world.history if extras else (),
        checklist=world.checklist if extras else (), reference=world.reference[:turns] if reference else (),
    )  # fmt: skip


def _like(prompt: Prompt) -> Prompt:
    """Return a made-up prompt of the same shape."""

    def lines(count: int, kind: str) -> tuple[str, ...]:
        return tuple(f"Another {kind}, number {k}." for k in range(count))

    return Prompt(
        "like", lines(len(prompt.turns), "question"), prompt.category,
        history=tuple(Message(m.role, "Said earlier.") for m in prompt.history),
        checklist=lines(len(prompt.checklist), "item"), reference=lines(len(prompt.reference), "reference"),
    )  # fmt: skip


def _places(spec: JudgeSpec, one: Prompt, other: Prompt) -> Iterator[Scene]:
    places: Iterable[int] = (0, 1) if spec.pairwise else (0,)
    nonces: tuple[str | None, ...] = (None,)
    if spec.nonce or spec.label_nonce:
        nonces = (NONCE,)  # a run never asks such a judge without one
    elif spec.rendering == "jinja" and spec.fence == "tags":
        nonces = (None, NONCE)
    asked = spec.mode in ("checklist", "principles")
    items = len(items_of(spec, one.checklist)) if asked else 0
    for nonce in nonces:
        for place in places:
            yield Scene(spec, (one, other), place, items - 1 if asked else None, nonce)
