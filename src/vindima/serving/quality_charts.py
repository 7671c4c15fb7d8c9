"""The figures of the data-quality report: what is there, what adds up, what a second source says."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from vindima.etl.crosscheck import unit_values
from vindima.ingestion.catalogue import TABLES
from vindima.labels import Language, number, percent
from vindima.serving.charts import GREY, WINE, house_style

DARK = "#8d8885"
SAND = "#b08d57"
ROSE = "#d39fae"
NOTHING = "#faf7f5"
SHADES = ListedColormap([NOTHING, "#edd9de", "#d9a9b6", "#bd6f85", "#9c3f5c", WINE])
"""From no figure above zero to as many rows with one as the table ever had."""

WORDS = {
    "rows": {"pt": "linhas com valor", "en": "rows with a figure"},
    "none": {"pt": "nenhuma", "en": "none"},
    "most": {"pt": "o máximo da tabela", "en": "the table's most"},
    "not_available": {"pt": "não disponível (nd)", "en": "not available (nd)"},
    "withheld": {"pt": "retido (*): só totais", "en": "withheld (*): totals only"},
    "published": {"pt": "como publicado", "en": "as published"},
    "used": {"pt": "em uso, corrigido", "en": "in use, corrected"},
    "price": {"pt": "exportação de vinhos, US$ FOB por kg", "en": "exports of wine, US$ FOB a kilogram"},
    "country_years": {"pt": "países por ano, exportação de vinhos", "en": "countries a year, exports of wine"},
    "equal": {"pt": "igual ao Comex Stat como publicado", "en": "equal to Comex Stat as published"},
    "corrected": {"pt": "igual depois da correção", "en": "equal once corrected"},
    "rest": {"pt": "diferença pequena, mantida", "en": "small difference, left"},
    "gap": {
        "pt": "total publicado menos a soma das partes, % do total",
        "en": "published total less the sum of its parts, % of the total",
    },
}


@contextmanager
def _figure(height: float) -> Iterator[tuple[Figure, Axes]]:
    """A figure in the hand of the house: no frame, grey numbers, the unit above the axis."""
    with house_style():
        figure = Figure(figsize=(9, height), layout="constrained")
        axes = figure.add_subplot()
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(GREY)
        axes.tick_params(colors=GREY, length=0)
        axes.set_axisbelow(True)
        yield figure, axes


def _named(axes: Axes, key: str, language: Language) -> None:
    axes.set_title(WORDS[key][language], loc="left", fontsize=10, color=GREY)


def table_title(table: str, language: Language) -> str:
    """'exports_table_wine', 'en' → 'Exports of table wine'."""
    return {"pt": TABLES[table].title_pt, "en": TABLES[table].title_en}[language]


def coverage(counts: pd.DataFrame, language: Language) -> Figure:
    """Table × year: how many rows have a figure above zero, by the table's own most; what was withheld or missing.

    `counts` holds `table, year, above_zero, not_available, withheld, cells` as in reports/counts.csv.
    """
    tables = list(dict.fromkeys(counts["table"]))
    wide = counts.pivot(index="table", columns="year", values="above_zero").loc[tables]
    shares = wide.div(wide.max(axis=1).clip(lower=1), axis=0)
    years = wide.columns.to_numpy()
    with _figure(0.32 * len(tables) + 1.3) as (figure, axes):
        edges = (np.append(years, years[-1] + 1) - 0.5, np.arange(len(tables) + 1) - 0.5)
        axes.pcolormesh(*edges, shares.to_numpy(dtype=float), cmap=SHADES, vmin=0, vmax=1, edgecolor="white", lw=0.6)
        for status, colour in (("not_available", DARK), ("withheld", SAND)):
            mostly = counts[counts[status] > counts["cells"] / 2]
            for table, year in zip(mostly["table"].tolist(), mostly["year"].tolist(), strict=True):
                axes.add_patch(
                    Rectangle((year - 0.47, tables.index(table) - 0.46), 0.94, 0.92, color=colour, linewidth=0)
                )
        axes.invert_yaxis()
        axes.spines["bottom"].set_visible(False)
        axes.set_yticks(range(len(tables)), [table_title(table, language) for table in tables], fontsize=9)
        axes.xaxis.set_major_locator(MultipleLocator(10))
        _named(axes, "rows", language)
        keys = [(NOTHING, "none"), (WINE, "most"), (DARK, "not_available"), (SAND, "withheld")]
        patches = [Patch(facecolor=c, edgecolor="#ddd5d0", label=WORDS[word][language]) for c, word in keys]
        figure.legend(handles=patches, loc="outside lower left", ncols=4, frameon=False, fontsize=9, labelcolor=GREY)
        return figure


def corrected_price(crosscheck: pd.DataFrame, language: Language) -> Figure:
    """The yearly unit value of wine exports as published and as used, US$ FOB a kilogram."""
    prices = unit_values(crosscheck)
    published, used = prices["as published"], prices["in use"]
    with _figure(3.4) as (figure, axes):
        axes.grid(axis="y", color="#e4e0dc", linewidth=0.8)
        axes.plot(published.index, published, color=SAND, linewidth=1.8, linestyle=(0, (3, 1.5)))
        axes.plot(used.index, used, color=WINE, linewidth=2.2)
        worst = (published / used).map(np.log).abs().nlargest(2)
        for year in worst.index.tolist():
            axes.annotate(
                number(published[year], 2, language), (year, published[year]), (0, 5), textcoords="offset points",
                ha="center", fontsize=9, color=SAND,
            )  # fmt: skip
            axes.annotate(
                number(used[year], 2, language), (year, used[year]), (0, -13), textcoords="offset points",
                ha="center", fontsize=9, color=WINE,
            )  # fmt: skip
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 1, language)))
        _named(axes, "price", language)
        lines = [axes.lines[0], axes.lines[1]]
        names = [WORDS["published"][language], WORDS["used"][language]]
        axes.legend(lines, names, frameon=False, fontsize=9, labelcolor=GREY, loc="upper left")
        return figure


def agreement(crosscheck: pd.DataFrame, language: Language) -> Figure:
    """Country-years of wine exports by how they agree with Comex Stat: as published, once corrected, not."""
    kind = pd.Series("rest", index=crosscheck.index)
    kind = kind.mask(crosscheck["verdict"] == "equal", "corrected")
    kind = kind.mask(crosscheck["verdict_published"] == "equal", "equal")
    shown = crosscheck.assign(kind=kind).groupby(["year", "kind"]).size().unstack(fill_value=0)
    with _figure(3.4) as (figure, axes):
        axes.grid(axis="y", color="#e4e0dc", linewidth=0.8)
        below = np.zeros(len(shown))
        for word, colour in (("equal", "#cfc8c3"), ("corrected", WINE), ("rest", ROSE)):
            heights = shown.get(word, pd.Series(0, index=shown.index)).to_numpy()
            axes.bar(shown.index, heights, bottom=below, color=colour, width=0.8, label=WORDS[word][language])
            below = below + heights
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _named(axes, "country_years", language)
        axes.legend(frameon=False, fontsize=9, labelcolor=GREY, loc="upper left")
        return figure


def total_gaps(totals: pd.DataFrame, names: Mapping[tuple[str, str], str], language: Language) -> Figure:
    """Printed totals that are not the sum of their parts, per cent of the total, by group and year.

    `names` maps (table, group) to the words beside its line; gaps under one unit in a million are a small grey dot.
    """
    differs = totals[totals["verdict"] == "differs"]
    lines = list(dict.fromkeys(zip(differs["table"], differs["group"], strict=True)))
    with _figure(0.36 * len(lines) + 1.0) as (figure, axes):
        for position, line in enumerate(lines):
            axes.axhline(position, color="#e4e0dc", linewidth=0.8, zorder=0)
            rows = differs[(differs["table"] == line[0]) & (differs["group"] == line[1])]
            share = rows["difference"] / rows["published"]
            large = share.abs() >= 1e-6
            axes.plot(rows["year"][~large], [position] * int((~large).sum()), "o", color=GREY, markersize=3.5)
            axes.scatter(
                rows["year"][large], [position] * int(large.sum()), s=24 + 300 * share[large].abs(),
                color=[WINE if value < 0 else SAND for value in share[large]], linewidth=0, alpha=0.85,
            )  # fmt: skip
            if large.any():
                worst = share.abs().idxmax()
                axes.annotate(
                    percent(share[worst], 1, language), (int(rows["year"][worst]), position), (0, 9),
                    textcoords="offset points", ha="center", fontsize=8, color=GREY,
                )  # fmt: skip
        axes.set_yticks(range(len(lines)), [names[line] for line in lines], fontsize=9)
        axes.set_ylim(len(lines) - 0.4, -0.8)
        axes.set_xlim(totals["year"].min() - 0.5, totals["year"].max() + 0.5)
        axes.xaxis.set_major_locator(MultipleLocator(10))
        _named(axes, "gap", language)
        return figure
