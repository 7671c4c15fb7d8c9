"""Figures say what the tables say, in the reader's language, with the same bytes every time."""

import pandas as pd
import pytest

from vindima.serving import charts


@pytest.fixture
def history() -> pd.DataFrame:
    years = [2000, 2001, 2002, 2005, 2006]
    return pd.DataFrame(
        {"year": years, "price_usd_kg": [2.0, 2.2, 2.1, 2.6, 2.5], "corrected": [False, True, *[False] * 3]}
    )


@pytest.fixture
def forecast() -> pd.DataFrame:
    quantiles = {"q025": 1.5, "q10": 2.0, "forecast": 2.5, "q90": 3.0, "q975": 3.5}
    return pd.DataFrame([{"year": 2006 + horizon, "horizon": horizon} | quantiles for horizon in (1, 2)])


def texts(figure) -> str:
    return " | ".join(text.get_text() for text in figure.axes[0].texts) + figure.axes[0].get_title(loc="left")


def test_years_without_a_price_are_a_gap_in_the_line(history, forecast):
    line = charts.fan(history, forecast, "en").axes[0].lines[0]
    drawn = dict(zip(line.get_xdata(), line.get_ydata(), strict=True))
    assert pd.isna(drawn[2003])
    assert drawn[2005] == 2.6


def test_fan_opens_at_the_last_price_and_reaches_the_quantiles(history, forecast):
    outer, inner = charts.fan(history, forecast, "en").axes[0].collections
    for band, (low, high) in ((outer, (1.5, 3.5)), (inner, (2.0, 3.0))):
        corners = band.get_paths()[0].vertices
        assert corners[corners[:, 0] == 2006][:, 1] == pytest.approx(2.5)
        assert (corners[:, 1].min(), corners[:, 1].max()) == (low, high)


def test_corrected_years_are_open_circles(history, forecast):
    circles = [
        line for line in charts.fan(history, forecast, "en").axes[0].lines if line.get_markerfacecolor() == "white"
    ]
    assert [list(line.get_xdata()) for line in circles] == [[2001]]


def test_words_are_in_the_language_of_the_reader(history, forecast):
    assert "previsão (mediana)" in texts(charts.fan(history, forecast, "pt"))
    assert "forecast (median)" in texts(charts.fan(history, forecast, "en"))


def test_series_without_a_forecast_draws_its_history_alone(history, forecast):
    axes = charts.fan(history, forecast.iloc[:0], "en").axes[0]
    assert not axes.collections
    assert len(axes.lines[0].get_xdata()) == 7


def test_same_figure_gives_the_same_bytes_and_loads_nothing(history, forecast):
    first, second = (charts.svg(charts.fan(history, forecast, "pt")) for _ in range(2))
    assert first == second
    assert first.startswith("<svg")
    assert 'href="http' not in first
    assert charts.png(charts.fan(history, forecast, "pt")).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("price", "unit"),
    [
        ("price_usd_kg_real", "US$ FOB por kg, em dólares de 2005"),
        ("price_brl_kg", "R$ FOB por kg, em reais de cada ano"),
        ("price_brl_kg_real", "R$ FOB por kg, em reais de 2005"),
    ],
)
def test_another_money_is_drawn_from_its_first_year_on_and_named(history, forecast, price: str, unit: str):
    figures = history.assign(**{price: [float("nan"), 8.0, 9.0, 7.0, 6.0]})
    axes = charts.fan(figures, forecast.iloc[:0], "pt", price=price, base_year=2005).axes[0]
    assert axes.get_title(loc="left") == unit
    assert list(axes.lines[0].get_xdata()) == [2001, 2002, 2003, 2004, 2005, 2006]
    assert axes.lines[0].get_ydata()[0] == 8.0
    assert [list(line.get_ydata()) for line in axes.lines if line.get_markerfacecolor() == "white"] == [[8.0]]


# Price against mix


@pytest.fixture
def levels() -> pd.DataFrame:
    return pd.DataFrame({"unit_value_relative": [1, 0.8, 0.6], "fisher": [1, 1.1, 0.9]}, index=[2014, 2016, 2023])


def test_price_stands_against_the_unit_value_with_the_first_year_as_a_hundred(levels):
    axes = charts.price_and_mix(levels, "en").axes[0]
    drawn = {line.get_color(): list(line.get_ydata()) for line in axes.lines[1:]}
    assert drawn == {charts.PRICE: pytest.approx([100, 110, 90]), charts.WINE: pytest.approx([100, 80, 60])}
    assert list(axes.lines[1].get_xdata()) == [2014, 2016, 2023]
    assert axes.get_title(loc="left").startswith("2014 = 100")


def test_area_between_the_lines_is_the_mix(levels):
    (area,) = charts.price_and_mix(levels, "en").axes[0].collections
    corners = {tuple(corner) for corner in area.get_paths()[0].vertices.round(6).tolist()}
    assert corners == {(2014, 100), (2016, 110), (2016, 80), (2023, 90), (2023, 60)}


def test_lines_are_named_at_their_ends_with_their_last_figure(levels):
    names = texts(charts.price_and_mix(levels, "pt"))
    assert "90  preço, com a mesma\ncomposição de países" in names
    assert "60  valor unitário" in names
    assert "60  unit value" in texts(charts.price_and_mix(levels, "en"))


@pytest.mark.parametrize(("price", "unit_value"), [(0.9, 0.9), (0.9, 0.89), (0.89, 0.9)])
def test_names_of_lines_that_meet_stand_apart_with_the_higher_above(levels, price: float, unit_value: float):
    levels.loc[2023] = [unit_value, price]
    figure = charts.price_and_mix(levels, "pt")
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    upper, lower = sorted(boxes, key=lambda box: -box.y0)
    assert lower.y1 < upper.y0
    above = max(figure.axes[0].texts, key=lambda text: text.get_window_extent().y0).get_text()
    assert ("preço" in above) == (price > unit_value) or price == unit_value


def test_figure_that_stands_alone_says_what_it_is_and_where_it_is_from_within_its_width(levels):
    provenance = {"vintage": "0123456789ab", "cutoff": 2023, "model": "naive"}
    for shown in charts.METHOD:
        for language in ("pt", "en"):
            source = charts.source_line(provenance, language, shown)
            figure = charts.price_and_mix(levels, language, "Título", source)
            figure.draw_without_rendering()
            signed = [figure._suptitle, figure._supxlabel]
            assert signed[0].get_text() == "Título"
            assert signed[1].get_text().replace("\n", " ") == source
            assert all(text.get_window_extent().x1 < figure.bbox.x1 for text in signed)
    assert signed[1].get_window_extent().x1 > 0.7 * figure.bbox.x1


def test_same_split_gives_the_same_bytes_and_loads_nothing(levels):
    first, second = (charts.svg(charts.price_and_mix(levels, "pt")) for _ in range(2))
    assert first == second
    assert 'href="http' not in first


def test_ticks_of_price_and_mix_stand_where_their_labels_say():
    levels = pd.DataFrame(
        {"unit_value_relative": [1, 0.82, 0.94], "fisher": [1, 0.84, 0.97]}, index=[2015, 2020, 2024]
    )
    figure = charts.price_and_mix(levels, "en")
    figure.draw_without_rendering()
    axis = figure.axes[0].yaxis
    ticks = list(zip(axis.get_ticklocs(), axis.get_majorticklabels(), strict=True))
    assert len(ticks) > 3
    assert [label.get_text() for _, label in ticks] == [f"{value:g}" for value, _ in ticks]
