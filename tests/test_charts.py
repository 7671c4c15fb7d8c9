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
