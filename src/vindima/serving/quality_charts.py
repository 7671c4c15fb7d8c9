"""The figures of the data-quality report: what is there, what adds up, what a second source says."""

import itertools
import math
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from vindima.ingestion.catalogue import TABLES
from vindima.labels import Language, number, percent
from vindima.serving.drawing import (
    BLUE,
    GREY,
    GRID,
    INK,
    PAIRED,
    THIN,
    WINE,
    Drawing,
    Point,
    Scale,
    chart,
)

SHADES = ("#f4efec", "#edd9de", "#d9a9b6", "#bd6f85", "#9c3f5c", WINE)
"""From no figure above zero to as many as the table ever had."""
PALE, ROSE = "#cfc8c3", "#dba9b7"
ROUNDING = 20
"""Units (litres or kilograms) up to which a total that does not add up is put down to rounding."""
LARGE = 0.1
"""Share of a price from which its correction is told apart from the small ones."""
LABELLED = 2
"""Prices whose correction is told in the chart itself, the largest ones."""
LEAST = 38
"""Letters of a text of the register that say too little alone."""
LINE = 17
"""Pixels from one line of small text to the next."""
STEP = 6
"""Pixels between the places that are tried for a label."""
SMALL = 13

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels."""
Segment = tuple[Point, Point]
Rows = Sequence[Mapping[str, Any]]

WORDS: Mapping[str, Mapping[Language, str]] = {
    "most": {"pt": "o máximo da tabela", "en": "the table's most"},
    "none": {"pt": "nenhum valor acima de zero", "en": "no figure above zero"},
    "not_available": {"pt": "não disponível (nd)", "en": "not available (nd)"},
    "withheld": {"pt": "retido (*): só totais", "en": "withheld (*): totals only"},
    "unpublished": {"pt": "não publicado", "en": "not published"},
    "above_zero": {"pt": "valores acima de zero: {count}", "en": "figures above zero: {count}"},
    "table_most": {"pt": "o máximo da tabela: {most}", "en": "the table's most: {most}"},
    "cells_corrected": {"pt": "células corrigidas: {count}", "en": "cells corrected: {count}"},
    "coverage": {
        "pt": "Tabelas por ano, de {first} a {last}, mais escuras onde há mais valores. {gaps}",
        "en": "Tables by year, {first} to {last}, darker where there are more figures. {gaps}",
    },
    "published": {"pt": "como publicado", "en": "as published"},
    "used": {"pt": "corrigido", "en": "corrected"},
    "unit": {"pt": "Exportação de vinhos, US$ FOB por kg", "en": "Exports of wine, US$ FOB a kilogram"},
    "price": {
        "pt": "Preço do quilo de vinho exportado de {first} a {last}, como publicado e corrigido. {jumps} "
        "As duas linhas terminam em {published} e {used}.",
        "en": "Price of a kilogram of exported wine from {first} to {last}, as published and corrected. {jumps} "
        "The two lines end at {published} and {used}.",
    },
    "jump": {
        "pt": "Em {year}, {published} como publicado e {used} corrigido.",
        "en": "In {year}, {published} as published and {used} corrected.",
    },
    "country_years": {"pt": "Países por ano", "en": "Countries a year"},
    "equal": {"pt": "igual como publicado", "en": "equal as published"},
    "corrected": {"pt": "igual depois da correção", "en": "equal once corrected"},
    "rest": {"pt": "diferença pequena, mantida", "en": "small difference, left"},
    "agreement": {
        "pt": "Países por ano na exportação de vinhos, de {first} a {last}: {equal} iguais ao Comex Stat como "
        "publicados, {corrected} depois da correção, {rest} com uma diferença pequena, a maioria de {from} a {to}.",
        "en": "Countries by year in exports of wine, {first} to {last}: {equal} equal to Comex Stat as published, "
        "{corrected} once corrected, {rest} with a small difference, most of them from {from} to {to}.",
    },
    "parts_more": {"pt": "as partes somam mais que o total", "en": "the parts add up to more than the total"},
    "total_more": {"pt": "o total é maior", "en": "the total is larger"},
    "rounding": {"pt": "diferença de até {few} unidades", "en": "a difference of {few} units or fewer"},
    "total": {"pt": "total impresso: {value} {unit}", "en": "printed total: {value} {unit}"},
    "parts": {"pt": "soma das partes: {value} {unit}", "en": "sum of the parts: {value} {unit}"},
    "gaps": {
        "pt": "Totais que não são a soma das suas partes, por grupo e ano, de {first} a {last}. A maior diferença: "
        "{name}, {year}, {share} do total.",
        "en": "Totals that are not the sum of their parts, by group and year, {first} to {last}. The largest gap: "
        "{name}, {year}, {share} of the total.",
    },
    "flagged": {"pt": "marcas", "en": "flags"},
    "explained": {"pt": "explicadas pelo registro", "en": "explained by the register"},
    "of_them": {"pt": "{explained} de {flagged}", "en": "{explained} of {flagged}"},
    "flags": {
        "pt": "Marcas por verificação, com as que o registro explica: {each}.",
        "en": "Flags by check, with those that the register explains: {each}.",
    },
}


def table_title(table: str, language: Language) -> str:
    """'exports_table_wine', 'en' → 'Exports of table wine'."""
    return {"pt": TABLES[table].title_pt, "en": TABLES[table].title_en}[language]


def dollars(price: float, language: Language) -> str:
    """3.25, 'pt' → 'US$ 3,25', in one piece."""
    return f"US$\u00a0{number(price, 2, language)}"


def clause(text: str) -> str:
    """What a text of the register begins with, enough to tell what it is about.

    'Guyana and most of Bolivia are missing; others are short. …' → 'Guyana and most of Bolivia are missing'.
    """
    heads = (text[: mark.start()] for mark in re.finditer("[;:.] ", text))
    enough = (head for head in heads if len(head) >= LEAST and head.count("(") == head.count(")"))
    return next(enough, text.rstrip("."))


def wide(words: str, size: float = 14, bold: bool = False) -> float:
    """Pixels that words are wide in the widest of the fonts, a little more rather than less."""
    letters = math.fsum(0.37 if sign in " .,:;'|!()-ijlftr" else 0.95 if sign in "mwMW%" else 0.65 for sign in words)
    return letters * size * (1.1 if bold else 1)


# ---- coverage


def is_gap(row: Mapping[str, Any]) -> str | None:
    """The mark that most cells of a table and year have in the place of a number: `not_available`, `withheld`."""
    return next((status for status in ("not_available", "withheld") if row[status] > row["cells"] / 2), None)


def coverage(counts: Rows, gaps_said: str, language: Language) -> Markup:
    """Table × year: how many figures above zero, by the table's own most; what was withheld or missing.

    `counts` are rows of reports/counts.csv; `gaps_said` says which years are missing.
    """
    tables = list(dict.fromkeys(row["table"] for row in counts))
    first, last = (pick(row["year"] for row in counts) for pick in (min, max))
    years = range(first, last + 1)
    cells = {(row["table"], row["year"]): row for row in counts}
    most = {table: max(row["above_zero"] for row in counts if row["table"] == table) for table in tables}

    def draw(width: float) -> Drawing:
        beside = width > 600
        left, room, tall = (
            (max(wide(table_title(t, language)) for t in tables) + 8, 24, 20) if beside else (0, 42, 16)
        )
        top = _legend_height(width, _coverage_legend(language)) + 8
        drawing = Drawing(width, top + room * len(tables) + 30)
        _legend(drawing, _coverage_legend(language))
        across = (width - left) / len(years)
        shaded: dict[str, list[str]] = {}
        for place, table in enumerate(tables):
            down = top + room * place + (0 if beside else room - tall)
            name_at = (left - 8, down + tall / 2) if beside else (0, down - 11)
            drawing.text(name_at, table_title(table, language), INK, "end" if beside else "start")
            for year in years:
                x, row = left + across * (year - first), cells.get((table, year))
                drawing.stops.append((x + across / 2, down + tall / 2))
                mark = "unpublished" if row is None else is_gap(row)
                if mark:
                    _swatch(drawing, mark, x + 0.5, down, across - 1, tall)
                elif row is not None:
                    step = math.ceil(row["above_zero"] / max(most[table], 1) * (len(SHADES) - 1))
                    shaded.setdefault(SHADES[step], []).append(
                        f"M{x + 0.5:.1f} {down:.0f}h{across - 1:.1f}v{tall}h-{across - 1:.1f}z"
                    )
        for colour, path in shaded.items():
            drawing.add("path", d="".join(path), fill=colour)
        scale = Scale(first - 0.5, last + 0.5, left, width)
        _years(drawing, scale, top + room * len(tables) + 12)
        return drawing

    tips = [
        _cell_tip(table, year, cells.get((table, year)), most[table], language) for table in tables for year in years
    ]
    label = WORDS["coverage"][language].format(first=first, last=last, gaps=gaps_said)
    return chart(draw, label, tips=tips, across=len(years))


def _cell_tip(table: str, year: int, row: Mapping[str, Any] | None, most: int, language: Language) -> str:
    lines = [f"{table_title(table, language)}, {year}"]
    mark = "unpublished" if row is None else is_gap(row)
    if mark:
        lines.append(WORDS[mark][language])
    elif row is not None:
        lines.append(WORDS["above_zero"][language].format(count=number(row["above_zero"], 0, language)))
        lines.append(WORDS["table_most"][language].format(most=number(most, 0, language)))
    if row is not None and row["corrected"]:
        lines.append(WORDS["cells_corrected"][language].format(count=number(row["corrected"], 0, language)))
    return "\n".join(lines)


def _coverage_legend(language: Language) -> list[tuple[str, str]]:
    keys = ("none", "most", "not_available", "withheld", "unpublished")
    return [(key, WORDS[key][language]) for key in keys]


def _swatch(drawing: Drawing, kind: str, x: float, y: float, width: float, height: float) -> None:
    """The sign of a kind, the same in a chart and beside its words; no two differ by their colour alone."""
    middle = y + height / 2
    if kind in ("none", "most", "equal", "corrected", "explained", "flagged"):
        colours = {
            "none": SHADES[0],
            "most": WINE,
            "equal": PALE,
            "corrected": WINE,
            "explained": WINE,
            "flagged": ROSE,
        }
        drawing.box(x, y, width, height, colours[kind])
        if kind == "none":
            drawing.add("rect", x=x + 0.5, y=y + 0.5, width=width - 1, height=height - 1, fill="none", stroke=PALE)
    elif kind in ("not_available", "rest"):
        drawing.add(
            "rect", x=x + 0.5, y=y + 0.5, width=max(width - 1, 0), height=max(height - 1, 0), fill="#fff", stroke=GREY
        )
        if kind == "not_available":
            drawing.line([(x + 1, y + height - 1), (x + width - 1, y + 1)], GREY)
    elif kind == "withheld":
        drawing.box(x, y, width, height, GREY)
        drawing.add("circle", cx=x + width / 2, cy=middle, r=min(2, width / 3), fill="#fff")
    elif kind == "unpublished":
        drawing.line([(x + 1, middle), (x + width - 1, middle)], THIN, 1.5)
    elif kind == "rounding":
        drawing.dot((x + width / 2, middle), 3, GREY)
    else:
        drawing.dot((x + width / 2, middle), 6, WINE, open=kind == "total_more")


def _legend_lines(width: float, entries: Sequence[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    lines: list[list[tuple[str, str]]] = [[]]
    taken = 0.0
    for entry in entries:
        needed = 20 + wide(entry[1]) + 16
        if lines[-1] and taken + needed - 16 > width:
            lines.append([])
            taken = 0
        lines[-1].append(entry)
        taken += needed
    return lines


def _legend_height(width: float, entries: Sequence[tuple[str, str]]) -> float:
    return 22 * len(_legend_lines(width, entries))


def _legend(drawing: Drawing, entries: Sequence[tuple[str, str]], top: float = 0) -> None:
    """Signs with their words, in as many lines as they need."""
    for count, line in enumerate(_legend_lines(drawing.width, entries)):
        x, y = 0.0, top + 22 * count
        for kind, words in line:
            _swatch(drawing, kind, x, y + 4, 13, 13)
            drawing.text((x + 20, y + 11), words)
            x += 20 + wide(words) + 16


def _years(drawing: Drawing, scale: Scale, down: float) -> None:
    """The years under a chart whose cells are as broad as a year, without an axis."""
    step = 10 if scale.high - scale.low > 30 else 5 if scale.high - scale.low > 12 else 1
    for year in range(math.ceil(scale.low / step) * step, math.floor(scale.high) + 1, step):
        half = wide(str(year)) / 2
        drawing.text((min(max(scale(year), half), drawing.width - half), down), str(year), anchor="middle")


# ---- the corrected price


def jumps(prices: Rows) -> list[Mapping[str, Any]]:
    """The years whose price the corrections move by more than `LARGE`, the most moved first."""
    return sorted(
        (row for row in prices if abs(row["used"] / row["published"] - 1) > LARGE),
        key=lambda row: -abs(math.log(row["used"] / row["published"])),
    )


def corrected_price(prices: Rows, causes: Mapping[int, Sequence[str]], language: Language) -> Markup:
    """The yearly unit value of wine exports as published and as used, US$ FOB a kilogram.

    `prices` are `year, published, used`; `causes` what the register says of a year.
    """
    first, last = prices[0]["year"], prices[-1]["year"]
    told = jumps(prices)[:LABELLED]
    both = {name: [row[name] for row in prices] for name in ("published", "used")}

    def draw(width: float) -> Drawing:
        phone = width < 500
        height, left, top = (330, 34, 30) if phone else (420, 38, 30)
        drawing = Drawing(width, height)
        across = Scale(first, last, left + 12, width - 52)
        down = Scale(0, 1.3 * max(both["published"] + both["used"]), height - 32, top + 8)
        drawing.text((0, 8), WORDS["unit"][language])
        drawing.levels(down, left, width, lambda value, places: number(value, places, language), 6)
        drawing.years(across, height - 32)
        lines = {name: [(across(row["year"]), down(row[name])) for row in prices] for name in both}
        drawing.line(lines["published"], BLUE, 2, "5 4")
        drawing.line(lines["used"], WINE, 2.75)
        taken: list[Box] = []
        for row in prices:
            if row["used"] != row["published"]:
                x, y = across(row["year"]), down(row["used"])
                drawing.dot((x, y), 4, WINE, open=True)
                taken.append((x - 5, y - 5, x + 5, y + 5))
        segments = [pair for line in lines.values() for pair in itertools.pairwise(line)]
        within = (left + 4, top, width, height - 36)
        if prices[-1] not in told:
            x, y = lines["used"][-1]
            drawing.text((x + 10, y), number(prices[-1]["used"], 2, language), WINE, bold=True)
            taken.append((x + 8, y - 9, width, y + 9))
        for row in told:
            said = number(row["used"], 2, language) + (f" {WORDS['used'][language]}" if row is told[0] else "")
            at = (across(row["year"]), down(row["used"]))
            _label(drawing, at, said, [], WINE, within, segments, taken, left=False)
        for row in told:
            name, price = WORDS["published"][language], number(row["published"], 2, language)
            said = f"{row['year']}: {price}" if phone and row is not told[0] else f"{row['year']}, {name}: {price}"
            why = [] if phone else textwrap.wrap("".join(causes.get(row["year"], [])[:1]), 38)
            at = (across(row["year"]), down(row["published"]))
            drawing.dot(at, 4, BLUE)
            _label(drawing, at, said, why, BLUE, within, segments, taken)
        drawing.stops = lines["used"]
        return drawing

    tips = [_price_tip(row, causes.get(row["year"], []), language) for row in prices]
    words = [{name: dollars(row[name], language) for name in both} | {"year": row["year"]} for row in told]
    said = " ".join(WORDS["jump"][language].format(**row) for row in words)
    ends = {name: dollars(prices[-1][name], language) for name in both}
    label = WORDS["price"][language].format(first=first, last=last, jumps=said, **ends)
    return chart(draw, label, tips=tips)


def _price_tip(row: Mapping[str, Any], causes: Iterable[str], language: Language) -> str:
    lines = [str(row["year"])]
    if row["used"] == row["published"]:
        lines.append(f"{dollars(row['used'], language)} {WORDS['published'][language]}")
        return "\n".join(lines)
    lines += [f"{dollars(row[name], language)} {WORDS[name][language]}" for name in ("published", "used")]
    return "\n".join([*lines, percent(row["used"] / row["published"] - 1, 1, language, plus=True), *causes])


def _label(
    drawing: Drawing,
    at: Point,
    heading: str,
    why: Sequence[str],
    colour: str,
    within: Box,
    segments: Sequence[Segment],
    taken: list[Box],
    left: bool = True,
) -> None:
    """Words about the point `at`, as near to it as they lie on no line and no other words; none where they cannot.

    Of places that are about as near, one at the `left` or right of the point is taken.
    """
    broad = max(wide(heading, bold=True), *(wide(line, SMALL) for line in why), 0)
    tall = LINE * (1 + len(why))
    place = _free(at, broad, tall, within, segments, taken, left)
    if place is None:
        return
    x, y = place
    taken.append((x, y, x + broad, y + tall))
    near = _nearest(at, taken[-1])
    if math.dist(at, near) > 14:
        drawing.line([at, near], THIN)
    anchor, side = ("end", x + broad) if x + broad / 2 < at[0] - broad / 4 else ("start", x)
    drawing.text((side, y + LINE / 2), heading, colour, anchor, bold=True)
    for count, words in enumerate(why, 1):
        drawing.text((side, y + LINE * (count + 0.5)), words, INK, anchor, size=SMALL)


def _free(
    at: Point,
    broad: float,
    tall: float,
    within: Box,
    segments: Sequence[Segment],
    taken: Sequence[Box],
    at_left: bool,
) -> Point | None:
    """Left and top of the box nearest to `at` that touches none of `segments` and `taken`, in sight of it."""
    left, top, right, bottom = within

    def box(place: Point, more: float = 0) -> Box:
        return place[0] - more, place[1] - more, place[0] + broad + more, place[1] + tall + more

    def near(place: Point) -> Point:
        return _nearest(at, box(place))

    def is_free(place: Point) -> bool:
        around = box(place, 6)
        return (
            not any(_overlap(around, other) for other in taken)
            and not any(_touches(around, *segment) for segment in segments)
            and not _hidden(at, near(place), segments, taken)
        )

    places = [
        (left + STEP * across, top + STEP * down)
        for across in range(int((right - left - broad) / STEP) + 1)
        for down in range(int((bottom - top - tall) / STEP) + 1)
    ]

    def far(place: Point) -> float:
        beside = place[0] + broad / 2 < at[0]
        return math.dist(at, near(place)) + (0 if beside == at_left else 12)

    return next(filter(is_free, sorted(places, key=far)), None)


def _hidden(at: Point, to: Point, segments: Sequence[Segment], taken: Sequence[Box]) -> bool:
    """Whether a line from `at` would lead through another line or other words."""
    begin = (at[0] + 0.1 * (to[0] - at[0]), at[1] + 0.1 * (to[1] - at[1]))
    others = [box for box in taken if not _touches(box, at, at)]
    return any(_cross(begin, to, *segment) for segment in segments) or any(_touches(box, begin, to) for box in others)


def _nearest(at: Point, box: Box) -> Point:
    return min(max(at[0], box[0]), box[2]), min(max(at[1], box[1]), box[3])


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _touches(box: Box, begin: Point, end: Point) -> bool:
    """Whether a straight line from `begin` to `end` has a point in the box (Liang and Barsky)."""
    enters, leaves = 0.0, 1.0
    for axis in (0, 1):
        length, low, high = end[axis] - begin[axis], box[axis] - begin[axis], box[axis + 2] - begin[axis]
        if length == 0:
            if low > 0 or high < 0:
                return False
            continue
        near, far = sorted((low / length, high / length))
        enters, leaves = max(enters, near), min(leaves, far)
    return enters <= leaves


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    def side(p: Point, q: Point, r: Point) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


# ---- the second source


def agreement(years: Rows, language: Language) -> Markup:
    """Country-years of wine exports by how they agree with Comex Stat: `year, equal, corrected, rest`."""
    kinds = ("equal", "corrected", "rest")
    first, last = years[0]["year"], years[-1]["year"]

    def draw(width: float) -> Drawing:
        legend = [(kind, WORDS[kind][language]) for kind in kinds]
        top, left = 30 + _legend_height(width, legend), 34
        height = top + 250
        drawing = Drawing(width, height)
        _legend(drawing, legend)
        drawing.text((0, top - 16), WORDS["country_years"][language])
        most = max(sum(row[kind] for kind in kinds) for row in years)
        down = Scale(0, most, height - 32, top + 8)
        drawing.levels(down, left, width, lambda value, places: number(value, places, language), min(most + 1, 5))
        across = Scale(first - 0.6, last + 0.6, left, width)
        broad = 0.8 * (across(first + 1) - across(first))
        for row in years:
            below = 0
            for kind in kinds:
                if row[kind]:
                    up = down(below + row[kind])
                    _swatch(drawing, kind, across(row["year"]) - broad / 2, up, broad, down(below) - up)
                below += row[kind]
            drawing.stops.append((across(row["year"]), down(below)))
        drawing.years(across, height - 32)
        return drawing

    tips = [
        "\n".join([str(row["year"]), *(f"{WORDS[kind][language]}: {row[kind]}" for kind in kinds if row[kind])])
        for row in years
    ]
    sums = {kind: number(sum(row[kind] for row in years), 0, language) for kind in kinds}
    label = WORDS["agreement"][language].format(first=first, last=last, **sums, **_bulk(years, "rest"))
    return chart(draw, label, PAIRED, tips)


def _bulk(years: Rows, kind: str) -> dict[str, int]:
    """The shortest run of years that holds more than half of a kind, as `from` and `to`."""
    half = sum(row[kind] for row in years) / 2
    for length in range(1, len(years) + 1):
        for begin in range(len(years) - length + 1):
            run = years[begin : begin + length]
            if sum(row[kind] for row in run) > half:
                return {"from": run[0]["year"], "to": run[-1]["year"]}
    return {"from": years[0]["year"], "to": years[-1]["year"]}


# ---- totals


def total_gaps(
    totals: Rows, names: Mapping[tuple[str, str], tuple[str, str]], span: tuple[int, int], language: Language
) -> Markup:
    """Printed totals that are not the sum of their parts, per cent of the total, by group and year.

    `totals` are those that differ, with what the register says as `cause`; `names` maps (table, group) to what the
    group and its table are called; `span` is the first and last year of all totals.
    """
    lines: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in totals:
        lines.setdefault((row["table"], row["group"]), []).append(row)
    ranked = sorted(lines.items(), key=lambda line: -max(_share(row) for row in line[1]))
    kinds = [
        kind for kind in ("parts_more", "total_more", "rounding") if any(gap_kind(row) == kind for row in totals)
    ]
    legend = [(kind, WORDS[kind][language].format(few=ROUNDING)) for kind in kinds]

    def draw(width: float) -> Drawing:
        beside = width > 800
        left = max(wide(word, size) for pair in names.values() for word, size in zip(pair, (14, SMALL), strict=True))
        left = min(left + 16, width / 2.4) if beside else 8
        across = Scale(span[0] - 0.5, span[1] + 0.5, left + 10, width - 12)
        top = _legend_height(width, legend) + 12
        told = [_told(rows, across, width, language) for _, rows in ranked]
        rooms = [
            max(48, LINE * len(words) + 14)
            if beside
            else 38 + max(20 if all(gap_kind(row) == "rounding" for row in rows) else 40, LINE * len(words) + 14)
            for (words, _), (_, rows) in zip(told, ranked, strict=True)
        ]
        drawing = Drawing(width, top + sum(rooms) + 34)
        _legend(drawing, legend)
        y = top

        def radius(row: Mapping[str, Any]) -> float:
            return min(3.5 + 11 * math.sqrt(_share(row)), 10, max(4.5, 0.85 * (across(1) - across(0))))

        for (line, rows), (words, end), room in zip(ranked, told, rooms, strict=True):
            middle = y + room / 2 + 4 if beside else y + (38 + room) / 2 + 2
            drawing.line([(end + 10 if words else across.begin, middle), (across.end, middle)], GRID)
            name, of_table = names[line]
            drawing.text((0, middle - 9 if beside else y + 10), name, INK)
            drawing.text((0, middle + 9 if beside else y + 27), of_table, size=SMALL)
            for count, word in enumerate(words):
                drawing.text((end, middle + LINE * (count - (len(words) - 1) / 2)), word, INK, "end", size=SMALL)
            worst = max(rows, key=_share)
            for row in rows:
                at = (across(row["year"]), middle)
                drawing.stops.append(at)
                kind = gap_kind(row)
                if kind == "rounding":
                    drawing.dot(at, 3, GREY)
                else:
                    drawing.dot(at, radius(row), WINE, open=kind == "total_more")
            if gap_kind(worst) != "rounding":
                said = percent(worst["difference"] / worst["published"], 1, language, plus=True)
                drawing.text((across(worst["year"]), middle - radius(worst) - 9), said, WINE, "middle", True, SMALL)
            y += room
        drawing.years(across, y + 6)
        return drawing

    ordered = [row for _, rows in ranked for row in rows]
    tips = [_gap_tip(row, names[row["table"], row["group"]][0], language) for row in ordered]
    worst = max(totals, key=_share)
    label = WORDS["gaps"][language].format(
        first=span[0], last=span[1], name=names[worst["table"], worst["group"]][0], year=worst["year"],
        share=percent(worst["difference"] / worst["published"], 1, language, plus=True),
    )  # fmt: skip
    return chart(draw, label, tips=tips, across=1)


def gap_kind(row: Mapping[str, Any]) -> str:
    """What a total that differs from its parts is shown as."""
    if abs(row["difference"]) <= ROUNDING:
        return "rounding"
    return "parts_more" if row["difference"] < 0 else "total_more"


def _share(row: Mapping[str, Any]) -> float:
    return abs(row["difference"] / row["published"])


def _told(rows: Rows, across: Scale, width: float, language: Language) -> tuple[list[str], float]:
    """What the register says of the largest gap of a line, in lines that fit left of its first dot, and their end."""
    worst = max(rows, key=_share)
    end = across(min(row["year"] for row in rows)) - 36
    signs = int((end - across.begin) / 7.4)
    if width < 500 or signs < 22 or gap_kind(worst) == "rounding" or not worst["cause"]:
        return [], end
    return textwrap.wrap(clause(worst["cause"]), signs), end


def _gap_tip(row: Mapping[str, Any], name: str, language: Language) -> str:
    unit = TABLES[row["table"]].unit
    lines = [f"{name}, {row['year']}"]
    for key, column in (("total", "published"), ("parts", "computed")):
        lines.append(WORDS[key][language].format(value=number(row[column], 0, language), unit=unit))
    if gap_kind(row) != "rounding":
        lines.append(percent(row["difference"] / row["published"], 1, language, plus=True))
    return "\n".join([*lines, *([clause(row["cause"])] if row["cause"] else [])])


# ---- flags


def flags(checks: Rows, language: Language) -> Markup:
    """How many flags each check raised and how many the register explains: `name, flagged, explained`, ranked."""

    def said(row: Mapping[str, Any]) -> str:
        both = {key: number(row[key], 0, language) for key in ("flagged", "explained")}
        return WORDS["of_them"][language].format(**both)

    def draw(width: float) -> Drawing:
        legend = [(kind, WORDS[kind][language]) for kind in ("flagged", "explained")]
        top, room = _legend_height(width, legend) + 10, 42
        drawing = Drawing(width, top + room * len(checks))
        _legend(drawing, legend)
        scale = Scale(0, checks[0]["flagged"], 0, width - max(wide(said(row)) for row in checks) - 10)
        for count, row in enumerate(checks):
            y = top + room * count
            drawing.text((0, y + 8), row["name"], INK)
            drawing.box(0, y + 19, scale(row["flagged"]), 14, ROSE)
            drawing.box(0, y + 19, scale(row["explained"]), 14, WINE)
            drawing.text((scale(row["flagged"]) + 8, y + 26), said(row), INK)
        return drawing

    each = "; ".join(f"{row['name']}, {said(row)}" for row in checks)
    return chart(draw, WORDS["flags"][language].format(each=each), PAIRED)
