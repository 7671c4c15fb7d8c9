"""The figures of the outlook, one function for each: drawn for a width, from plain numbers, in a language."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from textwrap import wrap
from typing import Any

from vindima.labels import Language, number, series_name
from vindima.quantiles import SIDES
from vindima.serving.drawing import (
    BLUE,
    DESKTOP,
    FAN,
    GREY,
    HALF,
    INK,
    OCHRE,
    TABLET,
    THIN,
    WINE,
    Drawing,
    Point,
    Scale,
    apart,
    gaps,
)  # fmt: skip

LEVELS = tuple(FAN)
COMPARED = ((WINE, None), (BLUE, None), (OCHRE, "9 4"), (INK, "3 3"))
"""Colour and dashes of the lines that are compared, in their order."""
SOURCE = {
    "pt": "Fonte: Embrapa Uva e Vinho, Vitibrasil (edição {vintage}, dados até {cutoff}); ",
    "en": "Source: Embrapa Uva e Vinho, Vitibrasil (vintage {vintage}, data to {cutoff}); ",
}
METHOD: Mapping[str, Mapping[Language, str]] = {
    "price_usd_kg": {
        "pt": "previsão: modelo {model}, com o que se sabia em {cutoff}.",
        "en": "forecast: model {model}, with what was known in {cutoff}.",
    },
    "price_usd_kg_real": {
        "pt": "previsão: modelo {model}, com o que se sabia em {cutoff}; deflator: preços ao consumidor dos EUA "
        "(CPI-U, BLS).",
        "en": "forecast: model {model}, with what was known in {cutoff}; deflator: US consumer prices (CPI-U, BLS).",
    },
    "price_brl_kg": {
        "pt": "previsão: modelo {model}, com o que se sabia em {cutoff}; câmbio médio de cada ano (Federal Reserve).",
        "en": "forecast: model {model}, with what was known in {cutoff}; average exchange rate of each year (Federal "
        "Reserve).",
    },
    "price_brl_kg_real": {
        "pt": "previsão: modelo {model}, com o que se sabia em {cutoff}; câmbio médio de cada ano (Federal Reserve), "
        "deflator: IPCA (IBGE).",
        "en": "forecast: model {model}, with what was known in {cutoff}; average exchange rate of each year (Federal "
        "Reserve), deflator: IPCA (IBGE).",
    },
    "index": {
        "pt": "índice de Fisher encadeado, US$ FOB nominais.",
        "en": "chained Fisher index, nominal US$ FOB.",
    },
}
"""What a figure shows (a column of the price table, or the index) → what was done to the source's figures."""
WORDS: Mapping[str, Mapping[Language, str]] = {
    "unit": {"pt": "{symbol} FOB por {per}, {terms}", "en": "{symbol} FOB a {per}, {terms}"},
    "kg": {"pt": "quilo", "en": "kilogram"},
    "bottle": {"pt": "garrafa", "en": "bottle"},
    "nominal": {"pt": "correntes", "en": "nominal"},
    "real": {"pt": "de {base_year}", "en": "of {base_year}"},
    "band": {"pt": "{level} em 100", "en": "{level} in 100"},
    "in": {"pt": "em {year}", "en": "in {year}"},
    "known": {"pt": "publicado até {year}", "en": "published to {year}"},
    "ahead": {"pt": "previsto", "en": "forecast"},
    "price": {"pt": "preço, com os mesmos países", "en": "price, at the same countries"},
    "unit_value": {"pt": "valor médio", "en": "unit value"},
}


def source_line(provenance: Mapping[str, Any], language: Language, shown: str = "price_usd_kg") -> str:
    """Where the figures come from: `provenance` has vintage, cutoff and model, `shown` is a key of `METHOD`."""
    return (SOURCE[language] + METHOD[shown][language]).format_map(provenance)


def unit(
    language: Language, currency: str = "usd", terms: str = "nominal", per: str = "kg", base_year: int | None = None
) -> str:
    """What an axis of prices is in: 'US$ FOB a kilogram, nominal'; real `terms` are in money of `base_year`."""
    symbol = {"usd": "US$", "brl": "R$"}[currency]
    words = {"per": WORDS[per][language], "terms": WORDS[terms][language].format(base_year=base_year)}
    return WORDS["unit"][language].format(symbol=symbol, **words)


@dataclass(frozen=True)
class History:
    """What is drawn of one series, in one money: prices by year (None where there is none), and what comes.

    `path` are the years of the forecast with `forecast` and `bands` (level → low and high; empty without intervals),
    `past` the medians of earlier forecasts, each a line of years and prices, `corrected` the years whose price rests
    on a corrected figure.
    """

    prices: Mapping[int, float | None]
    path: Sequence[Mapping[str, Any]] = ()
    past: Sequence[Sequence[Point]] = ()
    corrected: Iterable[int] = field(default_factory=tuple)

    @property
    def known(self) -> dict[int, float]:
        """The years that have a price, in order."""
        return {year: price for year, price in sorted(self.prices.items()) if price is not None}

    @classmethod
    def of(cls, prices: Iterable[Mapping[Any, Any]], forecasts: Iterable[Mapping[Any, Any]]) -> "History":
        """One series in nominal US$ a kilogram, from its rows of the price table and of the forecasts table."""
        rows = [row for row in prices if row["price_usd_kg"] is not None and not math.isnan(row["price_usd_kg"])]
        return cls(
            prices={row["year"]: row["price_usd_kg"] for row in rows},
            path=[
                {"year": row["year"], "forecast": row["forecast"]}
                | {"bands": {level: (row[low], row[high]) for level, (low, high) in SIDES.items()}}
                for row in sorted(forecasts, key=lambda row: row["horizon"])
            ],
            corrected=[row["year"] for row in rows if row["corrected"]],
        )


def fan(series: History, unit: str, language: Language, width: float) -> Drawing:
    """History, and the forecast with its intervals as a fan that opens at the last price; earlier forecasts thin.

    There is a stop at each year with a price and each year of the forecast.
    """
    phone = width < TABLET
    drawing = Drawing(width, 300 if phone else 400)
    write = partial(number, language=language)
    known, path = series.known, series.path
    last = max(known)
    right = (46.0 if phone else 130.0) if path else 46.0
    heights = [
        *known.values(),
        *(step["forecast"] for step in path),
        *(price for line in series.past for _, price in line),
    ]
    heights += [side for step in path for sides in step["bands"].values() for side in sides]
    across = Scale(min(known), path[-1]["year"] if path else last, 44, width - right)
    up = _upward(heights, drawing.height - 30, 52)
    drawing.text((0, 10), _from(unit, up, language), size=12 if phone else None)
    drawing.levels(up, 44, width - right, write, 5 if phone else 7)
    drawing.years(across, drawing.height - 30)

    def at(year: float, price: float) -> Point:
        return across(year), up(price)

    if path:
        edge = across(last)
        drawing.line([(edge, 44), (edge, drawing.height - 30)], THIN, 1, "2 3")
        drawing.text((edge - 6, 34), WORDS["known"][language].format(year=last), anchor="end", size=13)
        drawing.text((edge + 6, 34), WORDS["ahead"][language], WINE, bold=True, size=13)
    for level in LEVELS:
        if path and level in path[0]["bands"]:
            sides = [
                [at(last, known[last]), *(at(s["year"], s["bands"][level][side]) for s in path)] for side in (1, 0)
            ]
            drawing.area(sides[0], sides[1], FAN[level])
    for line in series.past[:: 3 if phone else 1]:
        drawing.line([at(*point) for point in line], THIN, 1.1)
    every = range(min(known), last + 1)
    for run in gaps([at(year, known[year]) if year in known else None for year in every]):
        drawing.line(run, WINE, 2.75) if run[1:] else drawing.dot(run[0], 2.5, WINE)
    for year in set(series.corrected) & known.keys():
        drawing.dot(at(year, known[year]), 4, WINE, open=True)
    if path:
        median = [at(last, known[last]), *(at(step["year"], step["forecast"]) for step in path)]
        drawing.line(median, WINE, 2.5, "2 3")
        _name_edges(drawing, path[-1], up, width - right + 8, phone, language)
    drawing.dot(at(last, known[last]), 4.5, WINE)
    above = known[last] > known.get(last - 1, 0)
    place = at(last, known[last])
    drawing.text((place[0] - 6, place[1] + (-16 if above else 18)), write(known[last], 2), WINE, "end", bold=True)
    drawing.stops = [at(*point) for point in known.items()] + [at(step["year"], step["forecast"]) for step in path]
    return drawing


def _name_edges(
    drawing: Drawing, step: Mapping[str, Any], up: Scale, x: float, phone: bool, language: Language
) -> None:
    """What the fan and its median reach in the last year, at its edge; on a phone the numbers alone."""
    names = [(step["forecast"], WORDS["in"][language].format(year=step["year"]), WINE)]
    for level, (low, high) in step["bands"].items():
        names += [(high, WORDS["band"][language].format(level=level), GREY), (low, "", GREY)]
    heights = apart([up(price) for price, _, _ in names], 18, 44, drawing.height - 30)
    for (price, words, colour), height in zip(names, heights, strict=True):
        text = number(price, 2, language) + (f"  {words}" if words and not phone else "")
        drawing.text((x, height), text, colour, bold=colour == WINE, size=13)


def _upward(values: Sequence[float], bottom: float, top: float) -> Scale:
    """A scale that holds `values`: from zero, or where they are all far above it from a round number below them."""
    low, high = min(values), max(values)
    if low > 0.4 * high:
        steps = Scale(low - 0.08 * (high - low or high), high, 0, 1).ticks(7)
        step = steps[1] - steps[0] if steps[1:] else high
        low = max(0.0, steps[0] - (step if steps[0] >= low else 0))
    else:
        low = min(0.0, low)
    return Scale(low, high + 0.02 * (high - low or 1), bottom, top)


FROM: Mapping[Language, str] = {"pt": "{unit} (o eixo começa em {low})", "en": "{unit} (the axis begins at {low})"}


def _from(unit: str, up: Scale, language: Language) -> str:
    """The unit above an axis, and where the axis begins unless that is zero."""
    if not up.low:
        return unit
    low = number(up.low, next((n for n in range(3) if abs(round(up.low, n) - up.low) < 1e-9), 2), language)
    return FROM[language].format(unit=unit, low=low)


def alone(drawn: Drawing, title: str, source: str) -> Drawing:
    """A drawing that is shown by itself: what it is called above it, where it is from below."""
    called, lines = wrap(title, round(drawn.width / 12)), wrap(source, round(drawn.width / 6.6))
    top = 26 + 24 * len(called)
    whole = Drawing(drawn.width + 40, top + drawn.height + 24 + 17 * len(lines))
    whole.box(0, 0, whole.width, whole.height, "#fff")
    for count, line in enumerate(called):
        whole.text((20, 26 + 24 * count), line, INK, bold=True, size=20)
    whole.put(drawn, 20, top)
    for count, line in enumerate(lines):
        whole.text((20, top + drawn.height + 16 + 17 * count), line, size=12)
    return whole


def picture(series: str, shown: History, language: Language, provenance: Mapping[str, Any]) -> Drawing:
    """The fan of a series in nominal US$ a kilogram as it stands alone."""
    drawn = fan(shown, unit(language), language, DESKTOP)
    return alone(drawn, series_name(series, language), source_line(provenance, language))


def record(rows: Sequence[Mapping[str, Any]], unit: str, language: Language, width: float) -> Drawing:
    """Past forecasts as ranges of 80 in 100 with their median, and the price that came as a dot, open where missed.

    `rows` hold year, q10, q50, q90 and actual, one year each, in order. A stop for each.
    """
    drawing = Drawing(width, 240)
    years = [row["year"] for row in rows]
    across = Scale(years[0] - 0.5, years[-1] + 0.5, 44, width - 8)
    up = _upward([row[name] for row in rows for name in ("q10", "q90", "actual")], 210, 30)
    drawing.text((0, 10), _from(unit, up, language), size=12 if width < HALF else None)
    drawing.levels(up, 44, width - 8, partial(number, language=language), 5)
    drawing.years(across, 210)
    half = min(14.0, (width - 52) / len(rows) * 0.36)
    for row in rows:
        x = across(row["year"])
        drawing.box(x - half, up(row["q90"]), 2 * half, up(row["q10"]) - up(row["q90"]), FAN[80], 2)
        drawing.line([(x - half, up(row["q50"])), (x + half, up(row["q50"]))], WINE, 2)
        missed = not row["q10"] <= row["actual"] <= row["q90"]
        drawing.dot((x, up(row["actual"])), 4.5, OCHRE if missed else INK, open=missed)
    drawing.stops = [(across(row["year"]), up(row["actual"])) for row in rows]
    return drawing


def price_and_mix(levels: Mapping[int, tuple[float, float]], language: Language, width: float) -> Drawing:
    """A total's price at the same mix of countries against its unit value, 100 in the first year.

    `levels` hold both (price, unit value), 1 in the first year, by year; what is between the lines is the mix. A stop
    for each year.
    """
    drawing = Drawing(width, 240)
    years = list(levels)
    right = 92.0 if width < HALF else 160.0
    across = Scale(years[0], years[-1], 44, width - right)
    lines = {name: [100 * levels[year][side] for year in years] for side, name in enumerate(("price", "unit_value"))}
    up = Scale(min(map(min, lines.values())) * 0.97, max(map(max, lines.values())) * 1.02, 210, 30)
    drawing.text((0, 10), f"{years[0]} = 100")
    drawing.levels(up, 44, width - right, partial(number, language=language), 5)
    drawing.years(across, 210)
    points = {
        name: [(across(year), up(value)) for year, value in zip(years, line, strict=True)]
        for name, line in lines.items()
    }
    drawing.area(points["price"], points["unit_value"], "#efe6e8")
    heights = apart([points[name][-1][1] for name in points], 34, 34, 200)
    for (name, line), height in zip(points.items(), heights, strict=True):
        colour = BLUE if name == "price" else WINE
        drawing.line(line, colour, 2.25)
        drawing.dot(line[-1], 4, colour)
        x = width - right + 10
        drawing.text((x, height - 7), number(lines[name][-1], 1, language), colour, bold=True)
        words = WORDS[name][language].split(", ") if right > 100 else [WORDS[name][language].split(",")[0]]
        drawing.text((x, height + 9), words[-1] if words[1:] else words[0], colour, size=12)
    drawing.stops = points["unit_value"]
    return drawing


def compared(lines: Sequence[tuple[str, History]], unit: str, language: Language, width: float) -> Drawing:
    """The history of up to four series and, dotted, their forecasts, each named at its end. Stops as of `fan`.

    Every year that any of them has is a stop, at the height of the first of them that has a price in it.
    """
    phone = width < TABLET
    drawing = Drawing(width, 300 if phone else 360)
    right = 118.0 if phone else 240.0
    every = sorted({year for _, series in lines for year in [*series.known, *(s["year"] for s in series.path)]})
    values = [
        price for _, series in lines for price in [*series.known.values(), *(s["forecast"] for s in series.path)]
    ]
    across, up = Scale(every[0], every[-1], 44, width - right), _upward(values, drawing.height - 30, 36)
    drawing.text((0, 10), _from(unit, up, language), size=12 if phone else None)
    drawing.levels(up, 44, width - right, partial(number, language=language), 6)
    drawing.years(across, drawing.height - 30)
    ends = []
    for (_, series), (colour, dash) in zip(lines, COMPARED, strict=False):
        known = series.known
        years = range(min(known), max(known) + 1)
        for run in gaps([(across(year), up(known[year])) if year in known else None for year in years]):
            drawing.line(run, colour, 2.25, dash)
        last = max(known)
        path = [(last, known[last]), *((step["year"], step["forecast"]) for step in series.path)]
        if path[1:]:
            drawing.line([(across(year), up(price)) for year, price in path], colour, 2.25, "2 3")
        ends.append(up(path[-1][1]))
        drawing.dot((across(last), up(known[last])), 4, colour)
    rows = [[line for part in name.split(" · ") for line in wrap(part, 14 if phone else 28)] for name, _ in lines]
    gap = 17 * max(map(len, rows)) + 4
    for height, words, (colour, _) in zip(apart(ends, gap, 24, drawing.height - 44), rows, COMPARED, strict=False):
        for count, word in enumerate(words):
            y = height + 15 * (count - (len(words) - 1) / 2)
            drawing.text((width - right + 8, y), word, colour, bold=True, size=12 if phone else 13)
    for year in every:
        first = next(of for of in (_at(series, year) for _, series in lines) if of is not None)
        drawing.stops.append((across(year), up(first)))
    return drawing


def _at(series: History, year: int) -> float | None:
    """The price of a year, or what is forecast for it."""
    ahead = {step["year"]: step["forecast"] for step in series.path}
    return series.known.get(year, ahead.get(year))


def then_and_now(
    before: float | None, now: float, low: float, high: float, language: Language, width: float
) -> Drawing:
    """A price ten years ago, open, and now, filled, from `low` to `high`; a row of the table of countries."""
    drawing = Drawing(width, 22)
    across = Scale(low, high, 58, width - 58)
    drawing.line([(58, 11), (width - 58, 11)], "#efebe7")
    if before is not None:
        drawing.line([(across(before), 11), (across(now), 11)], THIN, 1.5)
        drawing.dot((across(before), 11), 4.5, THIN, open=True)
    drawing.dot((across(now), 11), 5, WINE)
    side = 1 if before is None or now >= before else -1
    drawing.text(
        (across(now) + 9 * side, 11), number(now, 2, language), WINE, "start" if side > 0 else "end", bold=True
    )
    return drawing


def moved(
    baseline: Mapping[str, Any],
    scenario: Mapping[str, Any] | None,
    scale: tuple[float, float],
    language: Language,
    width: float,
) -> Drawing:
    """A forecast as it is, open, and as a scenario moves it, filled, each over its range of 80 in 100 if it has one.

    `scale` is the lowest and highest price that the row has room for.
    """
    drawing = Drawing(width, 66)
    across = Scale(*scale, 8, width - 8)
    shown = scenario or baseline
    band = shown["bands"].get(80)
    drawing.line([(8, 34), (width - 8, 34)], "#d9d3ce")
    if band:
        drawing.box(across(band[0]), 27, across(band[1]) - across(band[0]), 14, FAN[80], 2)
        for side, anchor in zip(band, ("start", "end"), strict=True):
            drawing.text((across(side), 54), number(side, 2, language), anchor=anchor, size=13, halo=False)
    places = apart([across(baseline["forecast"]), across(shown["forecast"])], 48, 20, width - 20)
    if scenario:
        drawing.line([(across(baseline["forecast"]), 34), (across(scenario["forecast"]), 34)], INK, 1.5)
        drawing.text((places[0], 12), number(baseline["forecast"], 2, language), anchor="middle", halo=False)
    drawing.dot((across(baseline["forecast"]), 34), 6, GREY, open=True)
    if scenario:
        drawing.dot((across(scenario["forecast"]), 34), 6.5, WINE)
    x = places[1] if scenario else across(shown["forecast"])
    drawing.text((x, 12), number(shown["forecast"], 2, language), WINE, "middle", bold=True, halo=False)
    return drawing
