"""Which defences are worth their price: what no other stack beats in every respect."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Point", "frontier"]


@dataclass(frozen=True)
class Point:
    """One stack, measured.

    Attributes:
        name: The stack.
        uplift: What the strongest attack gains against it, as the upper end of its interval or an estimate; lower is
            better. Use the same for all points.
        accuracy: Share of pairs with a known answer that it decides rightly; higher is better.
        calls: Calls as a multiple of the undefended judge's; lower is better.
    """

    name: str
    uplift: float
    accuracy: float
    calls: float

    def beats(self, other: Point) -> bool:
        """Tell whether it is nowhere worse than the other and somewhere better."""
        own, its = (self.uplift, -self.accuracy, self.calls), (other.uplift, -other.accuracy, other.calls)
        return own != its and all(a <= b for a, b in zip(own, its, strict=True))


def frontier(points: Iterable[Point]) -> list[Point]:
    """Return the points that no other beats (Pareto), by calls, then uplift. A point with a NaN is not among them."""
    known = [p for p in points if not any(math.isnan(x) for x in (p.uplift, p.accuracy, p.calls))]
    best = [p for p in known if not any(other.beats(p) for other in known)]
    return sorted(best, key=lambda p: (p.calls, p.uplift, -p.accuracy, p.name))
