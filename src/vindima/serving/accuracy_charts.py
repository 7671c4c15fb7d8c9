"""The figures of the accuracy report, one function for each: drawn for a width, from plain numbers, in a language."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from vindima.labels import Language, counted, number, percent
from vindima.serving.drawing import (
    AXIS,
    DESKTOP,
    FAN,
    GREY,
    GRID,
    INK,
    OCHRE,
    THIN,
    WINE,
    Drawing,
    Point,
    Scale,
    apart,
    decimals,
)  # fmt: skip

NARROW = 500
"""Pixels: below it the name of a row stands above its marks."""
CHANCE = "#f1eeea"
"""The colour of what chance explains."""
MARKS: Mapping[int, str] = {-1: "◀", 0: "", 1: "▶"}
"""Below, within or above what chance explains, as a sign."""
WORDS: Mapping[str, Mapping[Language, str]] = {
    "error": {
        "pt": "Erro médio, contra repetir o último preço",
        "en": "Mean error, against repeating the last price",
    },
    "worse": {"pt": "▲ erra mais que repetir", "en": "▲ errs more than repeating"},
    "better": {"pt": "▼ erra menos", "en": "▼ errs less"},
    "ahead": {"pt": "quanto antes a previsão foi feita", "en": "how long before the forecast was made"},
    "held": {"pt": "Preços na faixa, de cada 100", "en": "Prices in the range, of 100"},
    "promised": {"pt": "prometido: {level}", "en": "promised: {level}"},
    "chance": {"pt": "pode ser só acaso", "en": "may be mere chance"},
    "narrow": {"pt": "◀ estreita demais", "en": "◀ too narrow"},
    "wide": {"pt": "mais larga que o preciso ▶", "en": "wider than needed ▶"},
    "of": {"pt": "{held} de {due}", "en": "{held} of {due}"},
    "log": {"pt": "US$ por kg, escala logarítmica", "en": "US$ per kg, log scale"},
    "forecast_came": {"pt": "previsto → veio", "en": "forecast → came"},
    "unit": {
        "pt": "US$/kg; cada quadro com sua escala, sem o zero",
        "en": "US$/kg; each panel to its own scale, without zero",
    },
}
YEARS: Mapping[Language, tuple[str, str]] = {"pt": ("ano", "anos"), "en": ("year", "years")}


def written(name: str, language: Language, **values: object) -> str:
    """The word of a figure or report in `WORDS`, filled in."""
    return WORDS[name][language].format(**values)


Beside = tuple[float, tuple[float, float] | None]
"""An error less that of naive, as a share of it, and its 95 % interval."""


@dataclass(frozen=True)
class Method:
    """A method beside naive: horizon → its error less that of naive, as a share of it, and the 95 % interval.

    `colour` and `wide` say how it is drawn; `short` is its name where there is little room.
    """

    name: str
    short: str
    colour: str
    points: Mapping[int, Beside]
    wide: bool = False


def errors(methods: Sequence[Method], repeat: Method, language: Language, width: float) -> Drawing:
    """Error of each method by horizon, with whiskers, beside `repeat`, the zero line; a stop at each horizon.

    The numbers of the method that is drawn `wide` are written under it, and the stops lie on it.
    """
    phone = width < NARROW
    draw = Drawing(width, 400 if phone else 440)
    horizons = sorted(repeat.points)
    across = Scale(horizons[0] - 0.5, horizons[-1] + 0.5, 52, width - (86 if phone else 196))
    every = [
        value for method in methods for point, near in method.points.values() for value in (point, *(near or ()))
    ]
    low, high = min([*every, -0.1]), max([*every, 0.1])
    down = Scale(low - 0.07 * (high - low), high, draw.height - 64, 46)
    draw.text((0, 10), written("error", language))
    draw.levels(
        down, across.begin, across.end, lambda value, places: percent(value, max(places - 2, 0), language, True), 7
    )
    draw.line([(across.begin, down(0)), (across.end, down(0))], INK, 1.5)
    beside = [method for method in methods if not method.wide]
    step = min(22, 0.86 * (across(2) - across(1)) / max(len(methods), 1))
    middle = len(beside) / 2
    offsets = [step * (place - middle + (place >= middle or 0)) for place in range(len(beside))]
    for method, offset in [*zip(beside, offsets, strict=True), *((method, 0.0) for method in methods if method.wide)]:
        _method(draw, method, across, down, offset, language)
    draw.text((across.begin + 6, 58), written("worse", language), size=13)
    draw.text((across.begin + 6, down.begin - 12), written("better", language), size=13)
    labelled = [method for method in (*methods, repeat) if horizons[-1] in method.points]
    wanted = [down(method.points[horizons[-1]][0]) for method in labelled]
    for method, height in zip(labelled, apart(wanted, 18, 40, down.begin), strict=True):
        name = method.short if phone else method.name
        draw.text((across.end + 6, height), name, method.colour, bold=method.wide or method is repeat)
    for horizon in horizons:
        words = str(horizon) if phone else counted(horizon, *YEARS[language], language)
        draw.text((across(horizon), down.begin + 20), words, INK, "middle")
        leading = next((method for method in methods if method.wide and horizon in method.points), repeat)
        draw.stops.append((across(horizon), down(leading.points[horizon][0])))
    ahead = written("ahead", language) + (f", {YEARS[language][1]}" if phone else "")
    draw.text(((across.begin + across.end) / 2, down.begin + 42), ahead, anchor="middle")
    return draw


def _method(draw: Drawing, method: Method, across: Scale, down: Scale, offset: float, language: Language) -> None:
    colour = THIN if method.colour == GREY else method.colour
    points: list[Point] = []
    for horizon, (value, near) in sorted(method.points.items()):
        at = across(horizon) + offset
        points.append((at, down(value)))
        if near:
            draw.line([(at, down(side)) for side in near], colour, 3 if method.wide else 1.2)
    draw.line(points, colour, 2.75 if method.wide else 1.2)
    for point in points:
        draw.dot(point, 6 if method.wide else 3.5, colour)
    if not method.wide:
        return
    for horizon, (value, near) in sorted(method.points.items()):
        below = down(near[0] if near else value) + 14
        words = percent(value, 0, language, True)
        size = 12 if draw.width < NARROW else None
        draw.text((across(horizon) + offset, below), words, method.colour, "middle", bold=True, size=size)


@dataclass(frozen=True)
class Held:
    """A series whose range of 80 held `held` of `due` prices; `verdict` −1, 0 or 1: below, within, above chance."""

    name: str
    held: int
    due: int
    total: bool
    verdict: int

    @property
    def share(self) -> float:
        """Of 100 prices, how many the range held."""
        return 100 * self.held / self.due


def dots(series: Sequence[Held], band: tuple[float, float], language: Language, width: float) -> Drawing:
    """A dot for each of `series`, stacked over how often its range held; totals filled and at the bottom.

    `band` are the sides of what chance explains, of 100; a stack lies wholly in it or out of it. A stop for each of
    `series`, in their order.
    """
    phone = width < NARROW
    low, high = band
    first = 10 * math.floor(min([low, *(one.share for one in series)]) / 10 - 0.2)
    across = Scale(first, 102, 10, width - 6)
    steps = max(1, int((across(high) - across(low)) / (12.5 if phone else 15)))
    step = (high - low) / steps
    radius = min(6.5, (across(low + step) - across(low)) / 2 - 0.6)
    stacks: dict[int, list[int]] = {}
    for place in sorted(range(len(series)), key=lambda place: (not series[place].total, series[place].share)):
        stacks.setdefault(math.floor((series[place].share - low) / step), []).append(place)
    tallest = max(len(stack) for stack in stacks.values())
    foot = max(150, 66 + (2 * radius + 1) * (tallest + 1))
    draw = Drawing(width, foot + 66)
    draw.text((0, 10), written("held", language))
    draw.box(across(low), 48, across(high) - across(low), foot - 48, CHANCE)
    draw.line([(across(80), 48), (across(80), foot)], INK, 1.4)
    draw.text((across(80), 36), written("promised", language, level=80), INK, "middle", bold=True)
    words = written("chance", language).split()
    for place, part in enumerate((words[:2], words[2:])):
        draw.text((across(low) + 5, 60 + 15 * place), " ".join(part), size=13, halo=False)
    draw.line([(across.begin, foot), (across.end, foot)], AXIS)
    for tick in range(first, 101, 10):
        draw.text((across(tick), foot + 16), str(tick), anchor="middle")
    draw.text((0, foot + 44), written("narrow", language), OCHRE)
    draw.text((width, foot + 44), written("wide", language), anchor="end")
    places: dict[int, Point] = {}
    for count, stack in stacks.items():
        for up, place in enumerate(stack):
            one = series[place]
            at = across(low + (count + 0.5) * step), foot - radius - 2 - up * (2 * radius + 1)
            colour = OCHRE if one.verdict < 0 else WINE if one.total else GREY
            draw.dot(at, radius if one.total else radius - 0.8, colour, open=not one.total)
            places[place] = at
    draw.stops = [places[place] for place in range(len(series))]
    return draw


def ranked(series: Sequence[Held], language: Language, width: float) -> Drawing:
    """How often each range held, as far from the promised 80 of 100 as it lies; a stop for each of `series`."""
    phone = width < NARROW
    pitch, begin = (46, 34) if phone else (34, 30)
    draw = Drawing(width, begin + pitch * len(series) + 30)
    first = min([60.0, *(one.share for one in series)])
    across = Scale(first, 100, 10 if phone else 218, width - 112)
    foot = begin + pitch * len(series)
    if not phone:
        draw.line([(across(80), 18), (across(80), foot)], INK, 1.4)
    draw.text((across(80), 8), written("promised", language, level=80), INK, "middle", bold=True)
    for place, one in enumerate(series):
        middle = begin + pitch * (place + 0.5) + (10 if phone else 0)
        colour = OCHRE if one.verdict < 0 else WINE
        draw.text((0, middle - (21 if phone else 0)), one.name, INK)
        if phone:
            draw.line([(across(80), middle - 10), (across(80), middle + 10)], INK, 1.4)
        draw.line([(across(80), middle), (across(one.share), middle)], colour, 2.75)
        draw.dot((across(one.share), middle), 6.5, colour)
        words = written("of", language, held=one.held, due=one.due) + f" {MARKS[one.verdict]}".rstrip()
        draw.text((width - 94, middle), words, OCHRE if one.verdict < 0 else INK, bold=one.verdict < 0)
        draw.stops.append((across(one.share), middle))
    for tick in {first, 80, 100}:
        draw.text((across(tick), foot + 14), number(tick, 0, language), anchor="middle")
    return draw


@dataclass(frozen=True)
class Covered:
    """Of `due` prices of a group, how many its ranges of 80 and 95 held.

    By chance alone the share of 80 may lie `spread` away from what was promised, None where that is not known;
    `verdict` is −1, 0 or 1: below, within or above it.
    """

    name: str
    due: int
    held: tuple[int, int]
    spread: float | None
    verdict: int

    @property
    def shares(self) -> tuple[float, float]:
        """Which part of the prices the ranges of 80 and 95 held."""
        return self.held[0] / self.due, self.held[1] / self.due


def coverage(rows: Sequence[Covered], language: Language, width: float) -> Drawing:
    """For each row, of 100 prices how many its ranges of 80 and of 95 held, over what chance explains of the 80."""
    pitch, begin = 34, 34
    draw = Drawing(width, begin + pitch * len(rows) + 30)
    lowest = min([0.7, *(share for row in rows for share in row.shares), *(0.8 - (row.spread or 0) for row in rows)])
    across = Scale(10 * math.floor(10 * lowest), 100, 124, width - 84)
    foot = begin + pitch * len(rows)
    for place, row in enumerate(rows):
        low, high = (100 * (0.8 + side * (row.spread or 0)) for side in (-1, 1))
        draw.box(across(low), begin + pitch * place + 5, across(min(high, 100)) - across(low), pitch - 10, CHANCE)
    for level in (80, 95):
        draw.line([(across(level), 20), (across(level), foot)], INK, 1.2, None if level == 80 else "4 3")
        draw.text((across(level), 8), str(level), INK, "middle", bold=True)
    for place, row in enumerate(rows):
        middle = begin + pitch * (place + 0.5)
        draw.line([(across.begin, middle), (across.end, middle)], GRID)
        draw.text((0, middle), row.name, INK)
        colour = OCHRE if row.verdict < 0 else WINE
        for share, filled in zip(row.shares, (True, False), strict=True):
            draw.dot((across(100 * share), middle), 6.5 if filled else 5.6, colour, open=not filled)
        draw.text((width - 46, middle), number(100 * row.shares[0], 0, language), colour, "end", bold=True)
        draw.text((width - 42, middle), MARKS[row.verdict], OCHRE if row.verdict < 0 else INK)
        draw.text((width - 2, middle), number(100 * row.shares[1], 0, language), INK, "end")
        draw.stops.append((across(100 * row.shares[0]), middle))
    for tick in (across.low, 100):
        draw.text((across(tick), foot + 14), number(tick, 0, language), anchor="middle")
    return draw


@dataclass(frozen=True)
class Panel:
    """A series with its prices by year and its ranges: (year, low, forecast, high, what came)."""

    above: str
    name: str
    prices: Mapping[int, float]
    ranges: Sequence[tuple[int, float, float, float, float]]


def panels(shown: Sequence[Panel], language: Language, width: float) -> Drawing:
    """A panel for each series: the price as a line over the ranges of earlier forecasts; a stop at each range.

    A price outside its range is ringed.
    """
    columns, gap = (2, 18) if width < NARROW else (3, 36)
    tall = 190 if width >= DESKTOP else 178
    wide = (width - gap * (columns - 1)) / columns
    draw = Drawing(width, 24 + tall * -(-len(shown) // columns))
    draw.text((0, 10), written("unit", language))
    for place, panel in enumerate(shown):
        left, top = place % columns * (wide + gap), 24 + place // columns * tall
        draw.text((left, top + 14), panel.above, size=13)
        draw.text((left, top + 32), panel.name, INK, bold=True)
        years = [*panel.prices, *(row[0] for row in panel.ranges)]
        across = Scale(min(years), max(years), left + 34, left + wide - 6)
        every = [*panel.prices.values(), *(side for row in panel.ranges for side in row[1:4])]
        down = Scale(min(every), max(every), top + tall - 38, top + 52)
        ticks = down.ticks(3)
        for tick in ticks:
            draw.line([(across.begin - 4, down(tick)), (across.end + 4, down(tick))], GRID)
            draw.text((across.begin - 8, down(tick)), number(tick, decimals(ticks), language), anchor="end", size=13)
        bar = max(3, min(14, 0.55 * (across(1) - across(0))))
        for year, low, forecast, high, _ in panel.ranges:
            draw.box(across(year) - bar / 2, down(high), bar, down(low) - down(high), FAN[80])
            draw.line([(across(year) - bar / 2, down(forecast)), (across(year) + bar / 2, down(forecast))], WINE, 2)
        for run in _runs(panel.prices):
            draw.line([(across(year), down(panel.prices[year])) for year in run], INK, 1.8)
        for year, low, _, high, came in panel.ranges:
            if not low <= came <= high:
                draw.dot((across(year), down(came)), 4, OCHRE, open=True)
            draw.stops.append((across(year), down(came)))
        for year, anchor in ((min(years), "start"), (max(years), "end")):
            side = across.begin - 6 if anchor == "start" else across.end + 6
            draw.text((side, top + tall - 22), str(year), anchor=anchor, size=13)
    return draw


def _runs(prices: Mapping[int, float]) -> list[list[int]]:
    """The years with a price, parted where one is missing."""
    years = sorted(prices)
    runs = [years[:1]]
    for before, year in pairwise(years):
        if year - before > 1:
            runs.append([])
        runs[-1].append(year)
    return runs


@dataclass(frozen=True)
class Range:
    """What was forecast and what came, in US$/kg; `wide` the sides of the range of 95, `near` of that of 80."""

    name: str
    detail: str
    wide: tuple[float, float]
    near: tuple[float, float]
    forecast: float
    last: float | None
    came: float

    @property
    def outside(self) -> int:
        """−1 or 1 where what came lies below or above the range of 80, else 0."""
        return (self.came > self.near[1]) - (self.came < self.near[0])


def ranges(rows: Sequence[Range], language: Language, width: float) -> Drawing:
    """For each row its ranges, forecast, last price and what came, along a log scale; a stop for each row."""
    phone = width < NARROW
    two = any(row.detail for row in rows) and not phone
    pitch, begin = (50 if phone else 44 if two else 38), 52
    draw = Drawing(width, begin + pitch * len(rows) + 30)
    every = [side for row in rows for side in (*row.wide, row.came, row.last or row.came)]
    scale = Scale(math.log(0.95 * min(every)), math.log(1.05 * max(every)), 12 if phone else 214, width - 140)

    def across(price: float) -> float:
        return scale(math.log(price))

    foot = begin + pitch * len(rows)
    draw.text((0, 10), written("log", language))
    draw.text((width, 34), written("forecast_came", language), anchor="end")
    for tick in _log_ticks(math.exp(scale.low), math.exp(scale.high)):
        draw.line([(across(tick), begin - 4), (across(tick), foot)], GRID)
        draw.text((across(tick), foot + 14), number(tick, 0 if tick >= 1 else 1, language), anchor="middle")
    for place, row in enumerate(rows):
        middle = begin + pitch * (place + 0.5) + (11 if phone else 0)
        detail = f" · {row.detail}" if row.detail and phone else ""
        draw.text(
            (0, middle - (22 if phone else 9 if two else 0)), row.name + detail, INK, size=13 if phone else None
        )
        if two:
            draw.text((0, middle + 9), row.detail, size=13)
        for sides, colour, half in ((row.wide, FAN[95], 7), (row.near, FAN[80], 7)):
            draw.box(across(sides[0]), middle - half, across(sides[1]) - across(sides[0]), 2 * half, colour)
        draw.line([(across(row.forecast), middle - 8), (across(row.forecast), middle + 8)], WINE, 2.5)
        if row.last is not None:
            draw.dot((across(row.last), middle), 4, GREY, open=True)
        draw.dot((across(row.came), middle), 6, OCHRE if row.outside else INK)
        mark = {-1: "◀ ", 0: "", 1: "▶ "}[row.outside]
        words = f"{mark}{number(row.forecast, 2, language)} → {number(row.came, 2, language)}"
        draw.text((width, middle), words, OCHRE if row.outside else INK, "end", bold=row.outside != 0)
        draw.stops.append((across(row.came), middle))
    return draw


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between `low` and `high`."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [factor * 10.0**power for power in powers for factor in (1, 2, 5) if low <= factor * 10.0**power <= high]
