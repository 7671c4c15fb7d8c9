"""Drawings as SVG text: scales, axes and labels in the hand of the house, and how a page holds them.

The text in a drawing stays text, so it is read out, searched and copied. A drawing is made for a width, in the pixels
of the reader's screen: a page holds one for each of its widths, and its style sheet shows the one that fits.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WINE, BLUE, OCHRE = "#8a1538", "#1f6aa5", "#a85b00"
INK, GREY, THIN, AXIS, GRID = "#1f1b1a", "#5f5a57", "#98918c", "#8a8480", "#e6e2de"
FAN = {95: "#f1dde3", 80: "#dba9b7"}
"""Level of each band → its colour, the widest first."""
FONT = "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Liberation Sans', Arial, system-ui, sans-serif"
TEXT = 14
"""Pixels of the text in a drawing."""
PHONE, TABLET, DESKTOP, HALF = 358, 680, 944, 608
"""Pixels: the widths of a chart over the whole page of a phone, a tablet and a desktop, and of one of two columns."""
WHOLE = (PHONE, TABLET, DESKTOP)
PAIRED = (PHONE, HALF)

Point = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """A straight line from values (`low` … `high`) to pixels (`begin` … `end`)."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        return self.begin + (value - self.low) / ((self.high - self.low) or 1) * (self.end - self.begin)

    def ticks(self, most: int) -> list[float]:
        """At most `most` round values between `low` and `high`: multiples of 1, 2, 2.5 or 5 times a power of ten."""
        span = (self.high - self.low) or 1
        power = 10 ** math.floor(math.log10(span / most))
        for factor in (1, 2, 2.5, 5, 10, 20):
            step = factor * power
            first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
            if last - first < most:
                return [round(count * step, 12) for count in range(first, last + 1)]
        return [self.low]


def decimals(ticks: Sequence[float]) -> int:
    """How many decimals the labels of `ticks` need so that they differ as the ticks do: [2, 2.5] → 1."""
    return next((places for places in range(4) if all(abs(round(t, places) - t) < 1e-9 for t in ticks)), 4)


class Drawing:
    """A drawing of `width` × `height` pixels, to which parts are added one over the other.

    `stops` are the places that a reader steps through, each with a tip; see `chart`.
    """

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.stops: list[Point] = []
        self._parts: list[str] = []

    def add(self, tag: str, content: str = "", **attributes: object) -> None:
        """An element of SVG; `stroke_width` and the like are written with a hyphen, numbers with one decimal."""
        written = "".join(
            f' {name.replace("_", "-")}="{_short(value) if isinstance(value, int | float) else escape(value)}"'
            for name, value in attributes.items()
            if value is not None
        )
        self._parts.append(f"<{tag}{written}>{escape(content)}</{tag}>" if content else f"<{tag}{written}/>")

    def line(self, points: Iterable[Point], colour: str, width: float = 1, dash: str | None = None) -> None:
        """A line through `points`, with round corners."""
        self.add(
            "polyline", points=_points(points), fill="none", stroke=colour, stroke_width=width, stroke_dasharray=dash,
            stroke_linejoin="round", stroke_linecap="butt" if dash else "round",
        )  # fmt: skip

    def area(self, upper: Sequence[Point], lower: Sequence[Point], colour: str) -> None:
        """What lies between two lines, without an edge."""
        self.add("polygon", points=_points([*upper, *reversed(lower)]), fill=colour)

    def dot(self, at: Point, radius: float, colour: str, open: bool = False) -> None:
        """A filled circle with a white edge, or an open one."""
        edge = {"fill": "#fff", "stroke": colour} if open else {"fill": colour, "stroke": "#fff"}
        self.add("circle", cx=at[0], cy=at[1], r=radius, **edge, stroke_width=1.6 if open else 1)

    def box(self, x: float, y: float, width: float, height: float, colour: str, radius: float = 0) -> None:
        """A filled rectangle."""
        self.add("rect", x=x, y=y, width=max(width, 0), height=max(height, 0), fill=colour, rx=radius or None)

    def text(
        self,
        at: Point,
        words: str,
        colour: str = GREY,
        anchor: str = "start",
        bold: bool = False,
        size: float | None = None,
        halo: bool = True,
    ) -> None:
        """Words whose middle is at the height of `at`; `anchor` start, middle or end. A white halo parts them."""
        around = {"stroke": "#fff", "stroke_width": 4, "paint_order": "stroke"} if halo else {}
        self.add(
            "text", words, x=at[0], y=at[1] + 0.36 * (size or TEXT), fill=colour, text_anchor=anchor,
            font_weight="bold" if bold else None, font_size=size, **around,
        )  # fmt: skip

    def years(self, scale: Scale, down: float, step: int | None = None) -> None:
        """The years under a chart, at round numbers, as many as there is room for; an axis above them."""
        room = max(2, int((scale.end - scale.begin) / 52))
        step = step or next(of for of in (1, 2, 5, 10, 20, 50) if (scale.high - scale.low) / of < room)
        self.line([(scale.begin, down), (scale.end, down)], AXIS)
        for year in range(math.ceil(scale.low / step) * step, math.floor(scale.high) + 1, step):
            self.text((scale(year), down + 16), str(year), anchor="middle")

    def levels(self, scale: Scale, begin: float, end: float, written: Callable[[float, int], str], most: int) -> None:
        """Hair lines at round values from `begin` to `end`, each value at the left as `written(value, decimals)`."""
        ticks = scale.ticks(most)
        for tick in ticks:
            self.line([(begin, scale(tick)), (end, scale(tick))], GRID)
            self.text((begin - 8, scale(tick)), written(tick, decimals(ticks)), anchor="end")

    def put(self, other: "Drawing", x: float, y: float) -> None:
        """Another drawing as a part of this one, its corner at `x`, `y`."""
        self._parts.append(f'<g transform="translate({_short(x)} {_short(y)})">{"".join(other._parts)}</g>')

    def _repr_svg_(self) -> str:
        """The drawing as a notebook shows it."""
        return self.svg()

    def svg(self, size: str | None = None) -> str:
        """The drawing as SVG text; `size` names the width of the page that shows it."""
        shown = f' data-size="{size}" aria-hidden="true" focusable="false"' if size else ""
        box = f"0 0 {_short(self.width)} {_short(self.height)}"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" width="{_short(self.width)}" '
            f'height="{_short(self.height)}" font-family="{FONT}" font-size="{TEXT}"{shown}>'
            f"{''.join(self._parts)}</svg>"
        )


def apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Heights of labels as near as can be to the `wanted` ones, `gap` apart, between `low` and `high`.

    [100, 104, 200], 20, 0, 300 → [92, 112, 200].
    """
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    groups: list[tuple[float, list[int]]] = []  # the middle of each run of touching labels
    for place in order:
        groups.append((wanted[place], [place]))
        while len(groups) > 1 and _touch(groups[-2], groups[-1], gap):
            (_, before), (_, after) = groups[-2:]
            both = before + after
            groups[-2:] = [(math.fsum(wanted[one] for one in both) / len(both), both)]
    placed = [0.0] * len(wanted)
    for middle, places in groups:
        half = (len(places) - 1) * gap / 2
        middle = max(low + half, min(high - half, middle))
        for count, place in enumerate(places):
            placed[place] = middle - half + count * gap
    return placed


def _touch(before: tuple[float, list[int]], after: tuple[float, list[int]], gap: float) -> bool:
    return after[0] - before[0] < gap * (len(before[1]) + len(after[1])) / 2


def chart(
    draw: Callable[[float], Drawing],
    label: str,
    widths: Sequence[int] = WHOLE,
    tips: Sequence[str] = (),
    file: str = "",
    alone: Drawing | None = None,
    across: int | None = None,
) -> Markup:
    """A chart as a page holds it: `draw` for each of `widths`, the smallest first.

    `label` says what the chart says, for those who do not see it. `tips` are shown one at a time at the stops of the
    drawing: under the pointer or finger, and by the arrow keys; the last is the one that is read first. `alone` is
    the drawing that a reader downloads, as `file`. Where stops lie above one another, `across` says how many are in a
    row: the nearest counts in both directions, and the keys for up and down go a row.
    """
    sizes = ("narrow", "middle", "wide")[: len(widths)] if len(widths) != 2 else ("narrow", "wide")
    drawn = [draw(width) for width in widths]
    for drawing in drawn:
        if tips and len(drawing.stops) != len(tips):
            raise ValueError(f"expected as many stops as tips, got {len(drawing.stops)} and {len(tips)}")
    inside = "".join(
        drawing.svg(size if len(widths) > 1 else "only").replace(
            "<svg", f'<svg data-stops="{escape(_stops(drawing))}"' if tips else "<svg", 1
        )
        for drawing, size in zip(drawn, sizes, strict=True)
    )
    role = f'role="img" aria-label="{escape(label)}"'
    if tips:
        role = (
            f'role="slider" tabindex="0" aria-label="{escape(label)}" aria-valuemin="1" aria-valuemax="{len(tips)}" '
            f'aria-valuenow="{len(tips)}" aria-valuetext="{escape(_plain(tips[-1]))}" '
            f'data-tips="{escape(json.dumps(list(tips), ensure_ascii=False))}"'
            + (f' data-across="{across}"' if across else "")
        )
    kept = f'<template data-file="{escape(file)}">{alone.svg()}</template>' if alone else ""
    return Markup(f'<div class="chart of{len(widths)}"><div {role}>{inside}</div>{kept}</div>')  # noqa: S704


def gaps(values: Sequence[Point | None]) -> list[list[Point]]:
    """The runs of points without a gap: [a, None, b, c] → [[a], [b, c]]."""
    runs = itertools.groupby(values, key=lambda point: point is None)
    return [[point for point in run if point] for missing, run in runs if not missing]


def _plain(tip: str) -> str:
    return ", ".join(tip.split("\n"))


def _stops(drawing: Drawing) -> str:
    return " ".join(f"{_short(x)},{_short(y)}" for x, y in drawing.stops)


def _points(points: Iterable[Point]) -> str:
    return " ".join(f"{_short(x)},{_short(y)}" for x, y in points)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
