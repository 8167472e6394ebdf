"""Charts say with shapes what the numbers say."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from auditkit.records import Score
from auditkit.reports import charts
from auditkit.reports.charts import Axis, SlopeRow, axis_for

AXIS = Axis(0.0, 100.0, (0.0, 25.0, 50.0, 75.0, 100.0), 50.0, "a")
finite = st.floats(-1e6, 1e6)


def parse(chart: Markup) -> ET.Element:
    return ET.fromstring(str(chart))  # noqa: S314  our own output


def place(value: str) -> float:
    """Turn a percentage of the width back into a value of `AXIS`."""
    return (float(value.removesuffix("%")) - 4.0) / 92.0 * 100.0


def told(chart: ET.Element) -> str:
    """The name that a screen reader finds."""
    return chart.get("aria-label") or chart.findtext("title") or ""


def of(chart: ET.Element, kind: str) -> list[ET.Element]:
    return [e for e in chart.iter() if kind in e.get("class", "").split()]


@given(st.lists(finite, min_size=1, max_size=8), st.none() | finite)
def test_an_axis_holds_its_values_on_evenly_spaced_ticks(values: list[float], reference: float | None) -> None:
    """Whatever the numbers, they lie between the first and the last tick."""
    axis = axis_for(values, reference=reference)
    known = [*values, *([] if reference is None else [reference])]
    slack = 1e-6 * (axis.hi - axis.lo)
    assert axis.lo - slack <= min(known) <= max(known) <= axis.hi + slack
    assert axis.ticks[0] == axis.lo
    assert axis.ticks[-1] == axis.hi
    assert 2 <= len(axis.ticks) <= 8
    steps = [b - a for a, b in pairwise(axis.ticks)]
    assert max(steps) - min(steps) <= 1e-6 * max(steps) + 1e-9


@given(finite, finite)
def test_places_keep_order_and_stay_inside(a: float, b: float) -> None:
    """A larger value never stands further left; what is off the scale stands at its edge."""
    low, high = (float(AXIS.at(v).removesuffix("%")) for v in sorted((a, b)))
    assert 4.0 <= low <= high <= 96.0


def test_an_interval_stands_where_its_numbers_say() -> None:
    """Dot at the estimate, line from bound to bound."""
    chart = parse(charts.interval_bar("i", AXIS, "raw", 46.1, (43.2, 49.0)))
    (dot,), (line,) = of(chart, "dot"), of(chart, "whisker")
    assert place(dot.get("cx", "")) == pytest.approx(46.1, abs=0.01)
    assert place(line.get("x1", "")) == pytest.approx(43.2, abs=0.01)
    assert place(line.get("x2", "")) == pytest.approx(49.0, abs=0.01)
    assert told(chart) == "raw: 46.1, interval 43.2 to 49.0"


def test_an_undefined_score_has_no_mark() -> None:
    """Nothing is drawn where there is no number."""
    chart = parse(charts.interval_bar("i", AXIS, "raw", None, None))
    assert of(chart, "dot") == []
    assert "undefined" in told(chart)


def test_an_extrapolation_is_told_by_shape_and_word() -> None:
    """Not by colour alone."""
    chart = parse(charts.interval_bar("i", AXIS, "raw", 46.1, (43.2, 49.0), extrapolated=True))
    assert of(chart, "soft")
    assert "an extrapolation" in told(chart)


@given(st.floats(0, 100), st.floats(0, 100))
def test_a_part_spans_what_it_adds(start: float, end: float) -> None:
    """The bar lies between the two levels, and the lines lead from one to the other."""
    chart = parse(charts.part_bar("p", AXIS, "Length", start, end, None))
    (shape,) = of(chart, "gain" if end >= start else "loss")
    left = place(shape.get("x", ""))
    assert left == pytest.approx(min(start, end), abs=0.02)
    width = float((shape.get("width") or "").removesuffix("%")) / 92.0 * 100.0
    assert width == pytest.approx(max(abs(end - start), 0.3 / 0.92), abs=0.03)
    first, last = of(chart, "lead")
    assert place(first.get("x1", "")) == pytest.approx(start, abs=0.01)
    assert place(last.get("x1", "")) == pytest.approx(end, abs=0.01)


def test_the_quintile_chart_rises_with_the_rate() -> None:
    """Higher rates stand higher; every rate and difference is written at its dot."""
    rates = (10.0, 30.0, 50.0, 70.0, 95.0)
    chart = parse(charts.quintile_chart("q", tuple((100.0 * i, r, 7) for i, r in enumerate(rates))))
    heights = [float(dot.get("cy", "")) for dot in of(chart, "dot")]
    assert heights == sorted(heights, reverse=True)
    assert [e.text for e in of(chart, "value")] == ["10", "30", "50", "70", "95"]
    assert [e.text for e in of(chart, "tick")][-5:] == ["0", "+100", "+200", "+300", "+400"]


@pytest.mark.parametrize(("share", "few"), [(4.0, True), (64.0, False)])
def test_an_overlap_below_the_threshold_is_hollow_and_named(share: float, few: bool) -> None:
    """The bar ends where its number says, over the stretch in which a score is an extrapolation."""
    chart = parse(charts.share_bar("o", AXIS, "Length controlled", share, 10.0))
    (zone,), (bar,) = of(chart, "beyond"), of(chart, "level")
    assert place(zone.get("x", "")) == pytest.approx(0.0, abs=0.01)
    assert float(zone.get("width", "").removesuffix("%")) / 0.92 == pytest.approx(10.0, abs=0.02)
    assert float(bar.get("width", "").removesuffix("%")) / 0.92 == pytest.approx(share, abs=0.02)
    assert ("few" in bar.get("class", "")) == few
    assert ("an extrapolation" in told(chart)) == few


@given(st.lists(st.floats(-5000, 5000), min_size=5, max_size=5))
def test_the_strip_of_lengths_says_where_equal_length_lies(differences: list[float]) -> None:
    """A dashed line leads to equal length exactly where no fifth of the games reaches it."""
    chart = parse(charts.support_strip("s", sorted(differences)))
    outside = min(differences) > 0.0 or max(differences) < 0.0
    assert bool(of(chart, "soft")) == outside
    assert ("an extrapolation" in told(chart)) == outside
    assert len(of(chart, "dot")) == 5


def test_lines_join_the_places_of_one_submission() -> None:
    """Each line starts and ends on its own dots, and says whether it rises or falls."""
    rows = [
        SlopeRow("a", (1, 3)),
        SlopeRow("b", (2, 1)),
        SlopeRow("c", (3, 2)),
        SlopeRow("d", (None, 4), rejected=True),
    ]
    chart = parse(charts.slope_chart("s", ("raw", "held"), rows))
    groups = [g for g in chart if g.tag == "g"]
    for row, group in zip(rows, groups, strict=True):
        dots = [(d.get("cx"), d.get("cy")) for d in of(group, "dot")]
        ends = [((e.get("x1"), e.get("y1")), (e.get("x2"), e.get("y2"))) for e in of(group, "rank")]
        assert ends == list(pairwise(dots))
        assert len(dots) == sum(p is not None for p in row.places)
    assert [of(g, "rank")[0].get("class") for g in groups[:3]] == ["rank down", "rank up", "rank up"]
    assert groups[3].findtext("title") == "d: raw no rank, held 4"


def test_submissions_with_the_same_place_do_not_cover_each_other() -> None:
    """Ties stand on lines of their own."""
    rows = [SlopeRow(name, (1, 1)) for name in "abc"]
    chart = parse(charts.slope_chart("s", ("raw", "held"), rows))
    spots = [(d.get("cx"), d.get("cy")) for d in of(chart, "dot")]
    assert len(set(spots)) == len(spots)


HOSTILE = "</title><script>x</script>\"'><!--"


@pytest.mark.parametrize(
    "chart",
    [
        charts.interval_bar("i", AXIS, HOSTILE, 1.0, None),
        charts.pair_bar("i", AXIS, HOSTILE, Score("m", HOSTILE, 1.0), None),
        charts.level_bar("i", AXIS, HOSTILE, 1.0, (0.0, 2.0), first=True),
        charts.part_bar("i", AXIS, HOSTILE, 1.0, None, None),
        charts.axis_scale(AXIS, HOSTILE),
        charts.slope_chart("i", (HOSTILE, HOSTILE), [SlopeRow(HOSTILE, (1, 2)), SlopeRow(HOSTILE, (2, 1))]),
        charts.coverage_bar("i", 0.5),
        charts.share_bar("i", AXIS, HOSTILE, 5.0, 10.0),
        charts.key("i", "ring"),
    ],
)
def test_charts_are_named_images_of_escaped_text(chart: Markup) -> None:
    """Every chart parses as XML, is an image with a name, and keeps hostile text as text."""
    root = parse(chart)
    assert root.get("role") == "img"
    named = root.get("aria-labelledby", "").split()
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert set(named) <= set(ids)
    assert len(ids) == len(set(ids))
    assert told(root)
    assert not [e for e in root.iter() if e.tag == "script"]
