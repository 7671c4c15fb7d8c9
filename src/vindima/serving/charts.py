"""One function for each figure. Figures are matplotlib's: they draw without internet, on screen and on paper."""

import io
import textwrap
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from vindima import files
from vindima.labels import Language, number
from vindima.quantiles import SIDES

LINE = 132  # characters of a source line that the width of a figure holds
WINE = "#7b1e3a"
GREY = "#5f5a57"
FAN = {95: "#e9cdd5", 80: "#d39fae"}
"""Level of each band → its colour, the widest first."""

PRICE = "#1f5a63"
NOMINAL = "price_usd_kg"
AXIS: Mapping[str, Mapping[Language, str]] = {
    NOMINAL: {"pt": "US$ FOB por kg", "en": "US$ FOB a kilogram"},
    "price_usd_kg_real": {
        "pt": "US$ FOB por kg, em dólares de {base_year}",
        "en": "US$ FOB a kilogram, in dollars of {base_year}",
    },
    "price_brl_kg": {"pt": "R$ FOB por kg, em reais de cada ano", "en": "R$ FOB a kilogram, in reais of each year"},
    "price_brl_kg_real": {
        "pt": "R$ FOB por kg, em reais de {base_year}",
        "en": "R$ FOB a kilogram, in reais of {base_year}",
    },
}
"""Column of the price table → what a figure calls it."""

BAND = {"pt": "{level} em cada 100", "en": "{level} in 100"}
SOURCE = {
    "pt": "Fonte: Embrapa Uva e Vinho, Vitibrasil (edição {vintage}, dados até {cutoff}); ",
    "en": "Source: Embrapa Uva e Vinho, Vitibrasil (vintage {vintage}, data to {cutoff}); ",
}
METHOD: Mapping[str, Mapping[Language, str]] = {
    NOMINAL: {
        "pt": "previsão: modelo {model}, com o que se sabia em {cutoff}.",
        "en": "forecast: model {model}, with what was known in {cutoff}.",
    },
    "price_usd_kg_real": {
        "pt": "deflator: preços ao consumidor dos EUA (CPI-U, BLS).",
        "en": "deflator: US consumer prices (CPI-U, BLS).",
    },
    "price_brl_kg": {
        "pt": "câmbio médio de cada ano (Federal Reserve).",
        "en": "average exchange rate of each year (Federal Reserve).",
    },
    "price_brl_kg_real": {
        "pt": "câmbio médio de cada ano (Federal Reserve), deflator: IPCA (IBGE).",
        "en": "average exchange rate of each year (Federal Reserve), deflator: IPCA (IBGE).",
    },
    "index": {
        "pt": "índice de Fisher encadeado, US$ FOB nominais.",
        "en": "chained Fisher index, nominal US$ FOB.",
    },
}
"""What a figure shows (a column of the price table, or the index) → what was done to the source's figures."""

MEDIAN = {"pt": "previsão (mediana)", "en": "forecast (median)"}
HUNDRED = {
    "pt": "{first} = 100; entre as linhas, o efeito da composição de países",
    "en": "{first} = 100; between the lines, the effect of the mix of countries",
}
SPLIT: Mapping[str, Mapping[Language, str]] = {
    "unit_value_relative": {"pt": "valor unitário", "en": "unit value"},
    "fisher": {"pt": "preço, com a mesma\ncomposição de países", "en": "price, at the same\nmix of countries"},
}


def source_line(provenance: Mapping[str, Any], language: Language, shown: str = NOMINAL) -> str:
    """Where the figures come from: `provenance` has vintage, cutoff and model, `shown` is a key of `METHOD`."""
    return (SOURCE[language] + METHOD[shown][language]).format_map(provenance)


def house_style() -> AbstractContextManager[None]:
    """The settings in which every figure is made: one font, and the same bytes each time."""
    return mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 11, "svg.hashsalt": "vindima"})


def fan(
    history: pd.DataFrame,
    forecast: pd.DataFrame,
    language: Language,
    title: str = "",
    source: str = "",
    price: str = NOMINAL,
    base_year: int | None = None,
) -> Figure:
    """History of one series' price and its forecast with the 80 and 95 per cent intervals as a fan.

    `history` holds `year, corrected` and the column `price` of the price table, with a number in one year at least;
    `forecast` the rows of the forecasts table of the same series (none for a series that is not forecast, and for
    another `price` than nominal US$). Years without a price are gaps in the line; points that rest on a corrected
    figure are open circles. `title` and `source` are for a figure that stands alone, `base_year` is for real prices.
    """
    history = history[history[price].notna()]
    with house_style():
        figure = Figure(figsize=(9, 4.6), layout="constrained")
        axes = figure.add_subplot()
        _frame(axes, AXIS[price][language].format(base_year=base_year), language)
        prices = history.set_index("year")[price]
        every_year = prices.reindex(range(prices.index.min(), prices.index.max() + 1))
        axes.plot(every_year.index, every_year, color=WINE, linewidth=2.2, solid_capstyle="round")
        alone = every_year[every_year.shift().isna() & every_year.shift(-1).isna()]
        axes.plot(alone.index, alone, "o", color=WINE, markersize=3)
        corrected = history[history["corrected"]]
        axes.plot(corrected["year"], corrected[price], "o", color=WINE, markerfacecolor="white", markersize=6)
        if len(forecast):
            _draw_fan(axes, history, forecast, language)
        axes.set_ylim(bottom=0)
        _sign(figure, title, source)
        return figure


def price_and_mix(levels: pd.DataFrame, language: Language, title: str = "", source: str = "") -> Figure:
    """What a total's price did at a constant mix of countries, against its unit value; between the lines is the mix.

    `levels` holds `unit_value_relative, fisher` by year, 1 in the first (`price_index.span`). `title` and `source`
    are for a figure that stands alone.
    """
    with house_style():
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        axes = figure.add_subplot()
        years = levels.index.to_numpy()
        _frame(axes, HUNDRED[language].format(first=years[0]), language)
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 0, language)))
        lines = 100 * levels[["unit_value_relative", "fisher"]]
        axes.axhline(100, color=GREY, linewidth=0.8, zorder=1)
        axes.fill_between(years, *lines.to_numpy().T, color=FAN[95], linewidth=0)
        for name, colour in (("fisher", PRICE), ("unit_value_relative", WINE)):
            axes.plot(years, lines[name], color=colour, linewidth=2.2, marker="o", markersize=3.5)
        axes.margins(x=0.01, y=0.12)
        _name_lines(axes, lines, language)
        _sign(figure, title, source)
        return figure


def _name_lines(axes: Axes, lines: pd.DataFrame, language: Language) -> None:
    """What each line is, at its end; one above the other where the lines meet."""
    low, high = axes.get_ylim()
    last = lines.iloc[-1].sort_values(ascending=False)
    height = axes.get_window_extent().height * 72 / axes.figure.dpi
    apart = max(0.0, 36 - height * (last.iloc[0] - last.iloc[1]) / (high - low)) / 2
    for name, shift in zip(last.index, (apart, -apart), strict=True):
        axes.annotate(
            f"{number(last[name], 0, language)}  {SPLIT[name][language]}",
            (lines.index[-1], last[name]),
            (8, shift),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=PRICE if name == "fisher" else WINE,
            fontweight="bold",
        )


def _sign(figure: Figure, title: str, source: str) -> None:
    """What a figure that stands alone is called and where it is from."""
    if title:
        figure.suptitle(title, x=0.02, ha="left", fontsize=14, color=WINE, fontweight="bold")
    if source:
        figure.supxlabel(textwrap.fill(source, LINE), x=0.02, ha="left", fontsize=8, color=GREY)


def _frame(axes: Axes, unit: str, language: Language) -> None:
    """Horizontal hair lines, numbers as the reader writes them, the unit above the axis instead of beside it."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GREY)
    axes.grid(axis="y", color="#e4e0dc", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=GREY, length=0)
    axes.set_title(unit, loc="left", fontsize=10, color=GREY)
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
    """Write the figure as an SVG file."""
    files.write(path, svg(figure))


def png(figure: Figure) -> bytes:
    """The figure as PNG, 1,440 pixels wide."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=160, metadata={"Software": None})
    return data.getvalue()
