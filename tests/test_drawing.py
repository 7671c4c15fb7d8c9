"""Drawings: scales, labels that keep apart, and how a page holds a chart."""

import json
import re

import pytest
from lxml import etree

from vindima.serving.drawing import Drawing, Scale, apart, chart, decimals, gaps


def test_scale_goes_straight_from_values_to_pixels():
    assert Scale(2, 4, 100, 0)(2.5) == 75
    assert Scale(3, 3, 0, 100)(3) == 0


@pytest.mark.parametrize(
    ("low", "high", "most", "ticks"),
    [(0, 10, 6, [0, 2, 4, 6, 8, 10]), (0.3, 1.1, 4, [0.4, 0.6, 0.8, 1.0]), (0, 1000, 3, [0, 500, 1000]),
     (2.1, 2.4, 5, [2.1, 2.2, 2.3, 2.4])],
)  # fmt: skip
def test_ticks_are_round_and_few_enough(low, high, most, ticks):
    assert Scale(low, high, 0, 1).ticks(most) == pytest.approx(ticks)


@pytest.mark.parametrize(("ticks", "places"), [([1, 2], 0), ([2, 2.5], 1), ([0.25, 0.5], 2)])
def test_ticks_are_written_with_as_many_decimals_as_they_need(ticks, places):
    assert decimals(ticks) == places


def test_labels_keep_apart_near_where_they_want_to_be_and_within_the_chart():
    assert apart([100, 104, 200], 20, 0, 300) == [92, 112, 200]
    assert apart([5, 5, 5], 20, 0, 300) == [0, 20, 40]
    assert apart([299, 298], 20, 0, 300) == [300, 280]
    assert apart([], 20, 0, 300) == []


def test_line_breaks_where_a_value_is_missing():
    assert gaps([(0, 1), None, (2, 3), (3, 4), None]) == [[(0, 1)], [(2, 3), (3, 4)]]


def drawn(width: float) -> Drawing:
    drawing = Drawing(width, 100)
    drawing.text((10, 10), "R$ 5 & <more>")
    drawing.stops = [(width / 2, 50), (width, 40)]
    return drawing


def test_drawing_is_well_formed_and_its_words_are_text():
    root = etree.fromstring(drawn(300).svg())
    assert [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")] == ["R$ 5 & <more>"]
    assert root.get("viewBox") == "0 0 300 100"


def test_chart_holds_a_drawing_for_each_width_and_reads_its_tips_to_those_who_do_not_see_it():
    held = chart(drawn, "It says: “more”", (300, 600), ["2023\nUS$ 1", "2024\nUS$ 2"])
    assert re.findall(r'data-stops="([^"]+)"', held) == ["150,50 300,40", "300,50 600,40"]
    root = etree.fromstring(held)
    assert root[0].get("aria-label") == "It says: “more”"
    assert root[0].get("aria-valuetext") == "2024, US$ 2"
    assert json.loads(root[0].get("data-tips") or "") == ["2023\nUS$ 1", "2024\nUS$ 2"]
    assert root[0].get("role") == "slider"
    assert etree.fromstring(chart(drawn, "x"))[0].get("role") == "img"


def test_tips_without_their_places_are_refused():
    with pytest.raises(ValueError, match="expected as many stops as tips, got 2 and 1"):
        chart(drawn, "x", (300,), ["one"])
