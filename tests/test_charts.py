"""Figures say what the tables say, in the reader's language, with the same bytes every time."""

import re
from functools import partial
from itertools import pairwise

import pytest
from lxml import etree

from vindima.serving import charts
from vindima.serving.charts import History
from vindima.serving.drawing import DESKTOP, FAN, HALF, PHONE, TABLET, TEXT, Drawing

PRICES = {2000: 2.0, 2001: 2.2, 2002: 2.1, 2003: None, 2005: 2.6, 2006: 2.5}
PATH = [{"year": year, "forecast": 2.5, "bands": {95: (1.5, 3.5), 80: (2.0, 3.0)}} for year in (2007, 2008)]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def series() -> History:
    return History(PRICES, PATH, [[(2004, 2.4), (2005, 2.3)]], [2001])


def parts(drawing: Drawing, tag: str, **attributes: str) -> list[dict[str, str]]:
    """The parts of a drawing with these attributes."""
    root = etree.fromstring(drawing.svg())
    found = [dict(part.attrib) for part in root.iter(f"{SVG}{tag}")]
    return [part for part in found if attributes.items() <= part.items()]


def words(drawing: Drawing) -> list[str]:
    return [text.text for text in etree.fromstring(drawing.svg()).iter(f"{SVG}text")]


def points(part: dict[str, str]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (point.split(",") for point in part["points"].split())]


def heights(drawing: Drawing) -> tuple[float, float]:
    """Slope and height of the axis, from its labels: price = (bottom - y) * slope."""
    labels = [
        (float(text.get("y")) - 0.36 * TEXT, float(text.text))
        for text in etree.fromstring(drawing.svg()).iter(f"{SVG}text")
        if text.get("text-anchor") == "end" and re.fullmatch(r"\d\.\d", text.text or "")
    ]
    (low_y, low), (high_y, high) = labels[0], labels[-1]
    return low - low_y * (high - low) / (high_y - low_y), (high - low) / (high_y - low_y)


@pytest.mark.parametrize("width", [PHONE, TABLET, DESKTOP])
def test_line_is_broken_where_years_have_no_price(series: History, width: int):
    drawing = charts.fan(series, "US$", "en", width)
    lines = [points(line) for line in parts(drawing, "polyline", **{"stroke-width": "2.8"})]
    assert [len(line) for line in lines] == [3, 2]


def test_fan_opens_at_the_last_price_and_reaches_the_quantiles(series: History):
    drawing = charts.fan(series, "US$", "en", DESKTOP)
    begin, slope = heights(drawing)
    for level, (low, high) in {95: (1.5, 3.5), 80: (2.0, 3.0)}.items():
        [band] = parts(drawing, "polygon", fill=FAN[level])
        prices = [begin + slope * y for _, y in points(band)]
        assert prices[0] == prices[-1] == pytest.approx(2.5, abs=0.02)
        assert (min(prices), max(prices)) == pytest.approx((low, high), abs=0.02)


def test_stops_are_the_years_that_have_something_to_read(series: History):
    drawing = charts.fan(series, "US$", "en", DESKTOP)
    begin, slope = heights(drawing)
    assert [begin + slope * y for _, y in drawing.stops] == pytest.approx(
        [2.0, 2.2, 2.1, 2.6, 2.5, 2.5, 2.5], abs=0.02
    )
    assert sorted(x for x, _ in drawing.stops) == [x for x, _ in drawing.stops]


def test_corrected_years_are_open_circles(series: History):
    circles = parts(charts.fan(series, "US$", "en", DESKTOP), "circle", fill="#fff")
    assert len(circles) == 1
    assert circles[0]["cx"] == f"{charts.fan(series, '', 'en', DESKTOP).stops[1][0]:.1f}".removesuffix(".0")


@pytest.mark.parametrize(
    ("language", "said"),
    [("pt", ["publicado até 2006", "previsto", "em 2008"]), ("en", ["published to 2006", "forecast", "in 2008"])],
)
def test_words_are_in_the_language_of_the_reader(series: History, language, said: list[str]):
    text = " ".join(words(charts.fan(series, charts.unit(language), language, DESKTOP)))
    assert all(word in text for word in said)
    assert ("2,5" in text) == (language == "pt")


def test_axis_that_does_not_begin_at_zero_says_so(series: History):
    far = History({2000: 2.0, 2001: 10.0})
    assert "begins" not in words(charts.fan(far, "US$", "en", DESKTOP))[0]
    near = History({2000: 9.0, 2001: 10.0})
    [low] = re.findall(r"begins at ([\d.]+)", words(charts.fan(near, "US$", "en", DESKTOP))[0])
    assert 0 < float(low) < 9


def test_series_without_a_forecast_draws_its_history_alone():
    drawing = charts.fan(History(PRICES), "US$", "en", DESKTOP)
    assert not parts(drawing, "polygon")
    assert len(drawing.stops) == 5


def test_labels_of_the_fan_do_not_lie_on_each_other():
    close = [{"year": 2007, "forecast": 2.5, "bands": {95: (2.48, 2.52), 80: (2.49, 2.51)}}]
    drawing = charts.fan(History(PRICES, close), "US$", "en", DESKTOP)
    right = sorted(float(text["y"]) for text in parts(drawing, "text") if float(text["x"]) > DESKTOP - 130)
    assert len(right) >= 5
    assert all(below - above >= 17 for above, below in pairwise(right))


def test_figure_that_stands_alone_says_what_it_is_and_where_it_is_from(series: History):
    figure = charts.alone(charts.fan(series, "US$", "pt", DESKTOP), "Título", "Fonte: " + "palavras " * 40)
    said = words(figure)
    assert said[0] == "Título"
    assert " ".join(said[-3:]).startswith("Fonte: ") or " ".join(said[-4:]).startswith("Fonte: ")
    assert "href" not in figure.svg()
    assert (
        figure.svg()
        == charts.alone(charts.fan(series, "US$", "pt", DESKTOP), "Título", "Fonte: " + "palavras " * 40).svg()
    )


def test_rows_of_the_tables_become_a_history():
    prices = [
        {"year": 2000, "price_usd_kg": 2.0, "corrected": True},
        {"year": 2001, "price_usd_kg": float("nan"), "corrected": False},
    ]
    row = {"q025": 1.0, "q10": 1.5, "q90": 3.0, "q975": 4.0}
    forecasts = [
        {"horizon": 2, "year": 2003, "forecast": 2.2} | row,
        {"horizon": 1, "year": 2002, "forecast": 2.1} | row,
    ]
    made = History.of(prices, forecasts)
    assert made.known == {2000: 2.0}
    assert [step["year"] for step in made.path] == [2002, 2003]
    assert made.path[0]["bands"] == {80: (1.5, 3.0), 95: (1.0, 4.0)}
    assert list(made.corrected) == [2000]


ROWS = [
    {"year": 2020, "q10": 2.0, "q50": 2.5, "q90": 3.0, "actual": 2.6},
    {"year": 2021, "q10": 2.0, "q50": 2.5, "q90": 3.0, "actual": 3.5},
]


def test_price_outside_its_range_is_an_open_dot():
    drawing = charts.record(ROWS, "US$", "en", HALF)
    dots = parts(drawing, "circle")
    assert [dot["fill"] == "#fff" for dot in dots] == [False, True]
    assert len(parts(drawing, "rect")) == 2


def test_price_stands_against_the_unit_value_with_the_first_year_as_a_hundred():
    levels = {2014: (1.0, 1.0), 2016: (1.1, 0.8), 2023: (0.9, 0.6)}
    drawing = charts.price_and_mix(levels, "en", HALF)
    said = words(drawing)
    assert said[0] == "2014 = 100"
    assert {"90.0", "60.0"} <= set(said)
    [area] = parts(drawing, "polygon")
    assert len(points(area)) == 6


@pytest.mark.parametrize(("price", "unit_value"), [(0.9, 0.9), (0.9, 0.89), (0.89, 0.9)])
def test_names_of_lines_that_meet_stand_apart(price: float, unit_value: float):
    drawing = charts.price_and_mix({2014: (1.0, 1.0), 2023: (price, unit_value)}, "pt", HALF)
    named = {text.text: float(text.get("y")) for text in etree.fromstring(drawing.svg()).iter(f"{SVG}text")}
    assert abs(named["valor médio"] - named["com os mesmos países"]) >= 33


def test_compared_series_have_lines_of_their_own_and_are_named(series: History):
    drawing = charts.compared(
        [("Chile", series), ("Argentina", History({2004: 3.0, 2005: 3.1}))], "US$", "en", DESKTOP
    )
    assert {"Chile", "Argentina"} <= set(words(drawing))
    colours = {line["stroke"] for line in parts(drawing, "polyline", **{"stroke-width": "2.2"})}
    assert colours == {"#8a1538", "#1f6aa5"}
    assert len(drawing.stops) == 8


def test_scenario_stands_beside_the_baseline():
    baseline, scenario = ({"forecast": 3.0, "bands": {80: (2.5, 3.5)}}, {"forecast": 2.8, "bands": {80: (2.2, 3.4)}})
    said = words(charts.moved(baseline, scenario, (2.0, 4.0), "pt", HALF))
    assert {"3,00", "2,80", "2,20", "3,40"} <= set(said)
    assert "3,00" in words(charts.moved(baseline, None, (2.0, 4.0), "pt", HALF))


@pytest.mark.parametrize(
    "draw", [partial(charts.fan, History(PRICES, PATH), "US$", "pt"), partial(charts.record, ROWS, "US$", "pt")]
)
@pytest.mark.parametrize("width", [PHONE, HALF, DESKTOP])
def test_words_keep_within_the_drawing(draw, width: int):
    drawing = draw(width)
    for text in etree.fromstring(drawing.svg()).iter(f"{SVG}text"):
        size = float(text.get("font-size") or TEXT)
        long = 0.56 * size * len(text.text or "")
        begin = float(text.get("x")) - {"start": 0, "middle": long / 2, "end": long}[text.get("text-anchor")]
        assert begin > -2
        assert begin + long < width + 8
        assert size >= 12
