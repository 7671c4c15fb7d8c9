"""One function for each figure. Figures are matplotlib's: they draw without internet, on screen and on paper."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

from vindima.forecasting.intervals import SIDES
from vindima.forecasting.stored import write_text
from vindima.labels import Language, number

WINE = "#7b1e3a"
GREY = "#5f5a57"
FAN = {95: "#e9cdd5", 80: "#d39fae"}
"""Level of each band → its colour, the widest first."""

AXIS = {"pt": "US$ FOB por kg", "en": "US$ FOB a kilogram"}
BAND = {"pt": "{level} em cada 100", "en": "{level} in 100"}
SOURCE = {
    "pt": "Fonte: Embrapa Uva e Vinho, Vitibrasil (edição {vintage}, dados até {cutoff}); previsão: modelo {model}, "
    "com o que se sabia em {cutoff}.",
    "en": "Source: Embrapa Uva e Vinho, Vitibrasil (vintage {vintage}, data to {cutoff}); forecast: model {model}, "
    "with what was known in {cutoff}.",
}
MEDIAN = {"pt": "previsão (mediana)", "en": "forecast (median)"}


def source_line(provenance: Mapping[str, Any], language: Language) -> str:
    """Where the figures come from: vintage, last year and model, from a mapping that has the three."""
    return SOURCE[language].format_map(provenance)


def fan(
    history: pd.DataFrame, forecast: pd.DataFrame, language: Language, title: str = "", source: str = ""
) -> Figure:
    """History of one series' price and its forecast with the 80 and 95 per cent intervals as a fan.

    `history` holds `year, price_usd_kg, corrected`; `forecast` the rows of the forecasts table of the same series
    (none for a series that is not forecast). Years without a price are gaps in the line; points that rest on a
    corrected figure are open circles. `title` and `source` are for a figure that stands alone.
    """
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 11, "svg.hashsalt": "vindima"}):
        figure = Figure(figsize=(9, 4.6), layout="constrained")
        axes = figure.add_subplot()
        _frame(axes, language)
        prices = history.set_index("year")["price_usd_kg"]
        every_year = prices.reindex(range(prices.index.min(), prices.index.max() + 1))
        axes.plot(every_year.index, every_year, color=WINE, linewidth=2.2, solid_capstyle="round")
        alone = every_year[every_year.shift().isna() & every_year.shift(-1).isna()]
        axes.plot(alone.index, alone, "o", color=WINE, markersize=3)
        corrected = history[history["corrected"]]
        axes.plot(
            corrected["year"], corrected["price_usd_kg"], "o", color=WINE, markerfacecolor="white", markersize=6
        )
        if len(forecast):
            _draw_fan(axes, history, forecast, language)
        axes.set_ylim(bottom=0)
        if title:
            figure.suptitle(title, x=0.02, ha="left", fontsize=14, color=WINE, fontweight="bold")
        if source:
            figure.supxlabel(source, x=0.02, ha="left", fontsize=8, color=GREY)
        return figure


def _frame(axes: Axes, language: Language) -> None:
    """Horizontal hair lines, numbers as the reader writes them, the unit above the axis instead of beside it."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GREY)
    axes.grid(axis="y", color="#e4e0dc", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=GREY, length=0)
    axes.set_title(AXIS[language], loc="left", fontsize=10, color=GREY)
    axes.xaxis.set_major_locator(MultipleLocator(10))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: number(value, 2 if axes.get_ylim()[1] < 2 else 1, language))
    )


def _draw_fan(axes: Axes, history: pd.DataFrame, forecast: pd.DataFrame, language: Language) -> None:
    """The fan starts at the last price, so that it opens where history ends; each band is named at its edge."""
    last = history.iloc[-1]
    years = [last["year"], *forecast["year"]]
    for level, colour in FAN.items():
        lower, upper = SIDES[level]
        low = [last["price_usd_kg"], *forecast[lower]]
        high = [last["price_usd_kg"], *forecast[upper]]
        axes.fill_between(years, low, high, color=colour, linewidth=0)
        label = BAND[language].format(level=level)
        axes.annotate(
            label, (years[-1], high[-1]), (6, 0), textcoords="offset points", va="center", fontsize=9, color=GREY
        )
    axes.plot(years, [last["price_usd_kg"], *forecast["forecast"]], color=WINE, linewidth=2, linestyle=(0, (2, 1.4)))
    axes.annotate(
        MEDIAN[language],
        (years[-1], forecast["forecast"].iloc[-1]),
        (6, 0),
        textcoords="offset points",
        va="center",
        fontsize=9,
        color=WINE,
    )


def svg(figure: Figure) -> str:
    """The figure as SVG text that fills the width it is given; the same figure gives the same bytes."""
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "vindima"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    drawing = text.getvalue()
    return drawing[drawing.index("<svg") :]


def save_svg(figure: Figure, path: Path) -> None:
    """Write the figure as an SVG file, aside first, then renamed."""
    write_text(svg(figure), path)


def png(figure: Figure) -> bytes:
    """The figure as PNG, 1,440 pixels wide."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=160, metadata={"Software": None})
    return data.getvalue()
