"""What if: the path of a forecast moved by what the inputs would be, and by what they went with in past years."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from vindima.errors import VindimaError
from vindima.inputs import FEWEST_YEARS, INPUTS, quantity
from vindima.quantiles import QUANTILES, SIDES

FARTHEST = 1000.0
"""A change by more than a thousand times is taken for a slip of units."""


class Impossible(VindimaError):
    """A scenario that has no outcome: which `field`, what was `expected` there, and what it `got`."""

    def __init__(self, field: str, expected: str, got: Any) -> None:
        super().__init__(f"{field}: expected {expected}, got {got!r}")
        self.field, self.expected, self.got = field, expected, got


@dataclass(frozen=True)
class Caution:
    """One thing to know before an outcome is believed; `vindima.serving.sentences` says it in words.

    `code`, and of which `input` for which `product`, in which `year`, with which `numbers`:

    association: what moved with the price in the past need not be its cause. Every outcome has this one.
    nothing: the effect of the input cannot be told from none.
    outside: the `level` of that year is beyond the `lowest` or `highest` published one; `baseline` is the last.
    leap: the input changes by a `factor` in that year; the `largest` of one year in its history is smaller.
    together: several inputs may count the same thing twice.
    """

    code: str
    input: str = ""
    product: str = ""
    year: int | None = None
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a scenario says of one series.

    `path` and `baseline`: rows of the forecasts table with and without it. `effects`: for each `input` the `pct` by
    which it moved the forecast in the year that it changed most (the last of these), `low` and `high` of the 95 per
    cent interval of that, and whether it is `distinguishable` from nothing: 0 is outside. `warnings`: what to know
    before it is believed.
    """

    path: list[dict[str, Any]]
    baseline: list[dict[str, Any]]
    effects: list[dict[str, Any]]
    warnings: list[Caution]


Effects = Mapping[tuple[str, str, str], Mapping[str, Any]]


def six(value: float) -> float:
    """0.123456789 → 0.123457, as `stored.six_digits` rounds a table; one number is far faster so."""
    return float(f"{value:.6g}")


def by_key(moves: Iterable[Mapping[str, Any]]) -> Effects:
    """The effects (`effects.moves`) as `apply` reads them: (input, flow, product) → row."""
    return {(row["input"], row["flow"], row["product"]): row for row in moves}


def apply(effects: Effects, forecasts: Sequence[Mapping[Any, Any]], scenario: Any) -> Outcome:
    """The path of one series if inputs were as `scenario` says, beside its baseline.

    `forecasts`: the series' rows of the forecasts table, by horizon. `scenario`: input → `{"pct": x}`, a change from
    the last published level in every year, or `{"level": {"2025": x}}`, levels of those years in the input's unit,
    other years at the last published one. In year t the log price moves by elasticity · log(input[t] / last level);
    each side of an interval widens, in logs, by the root of the sum of its square and that of the effect's own
    Student-t interval. A level of `imports` or `exports` is that of all countries; the countries other than the
    series' own are taken to change by as many per cent.

    Raises Impossible for a scenario that is none, and for an input that this price cannot be asked about, with the
    reason.
    """
    flow, product = str(forecasts[0]["series"]).split(".")[:2]
    years = [int(row["year"]) for row in forecasts]
    moves = [_move(effects, name, asked, flow, product, years) for name, asked in _inputs(scenario).items()]
    path = []
    for place, row in enumerate(forecasts):
        shift = sum(move.elasticity * move.changes[place] for move in moves)
        moved = dict(row)
        for level, sides in SIDES.items():
            doubt = math.hypot(*(move.doubt(place, level) for move in moves))
            for side, sign in zip(sides, (-1, 1), strict=True):
                reach = math.hypot(math.log(row[side] / row["q50"]), doubt)
                moved[side] = row["q50"] * math.exp(shift + sign * reach)
        moved["q50"] = row["q50"] * math.exp(shift)
        moved |= {name: six(moved[name]) for name in QUANTILES}
        path.append(moved | {"forecast": moved["q50"]})
    return Outcome(
        path,
        [dict(row) for row in forecasts],
        [move.effect() for move in moves],
        [
            Caution("association"),
            *(warning for move in moves for warning in move.warnings()),
            *([Caution("together")] if moves[1:] else []),
        ],
    )


@dataclass(frozen=True)
class _Move:
    """One input of a scenario: its row of the effects table and its log change from the last level in each year."""

    known: Mapping[str, Any]
    years: list[int]
    changes: list[float]

    @property
    def name(self) -> str:
        return self.known["input"]

    @property
    def elasticity(self) -> float:
        return self.known["elasticity"]

    def doubt(self, place: int, level: int) -> float:
        """Half-width of the interval of `level` per cent of the log shift in the year at `place`."""
        return self.known[f"reach_{level}"] * abs(self.changes[place])

    def effect(self) -> dict[str, Any]:
        place = max(range(len(self.years)), key=lambda place: (abs(self.changes[place]), place))
        shift, doubt = self.elasticity * self.changes[place], self.doubt(place, 95)
        pct, low, high = (six(100 * math.expm1(log)) + 0.0 for log in (shift, shift - doubt, shift + doubt))
        return {"input": self.name, "pct": pct, "low": low, "high": high, "distinguishable": not low <= 0 <= high}

    def warnings(self) -> list[Caution]:
        known, said = self.known, []
        about = self.name, known["product"]
        if any(self.changes) and not self.effect()["distinguishable"]:
            said.append(Caution("nothing", *about))
        lowest, highest, baseline = known["lowest"], known["highest"], known["baseline"]
        for year, change in zip(self.years, self.changes, strict=True):
            level = baseline * math.exp(change)
            if not lowest * 0.999 <= level <= highest * 1.001:
                numbers = {"level": level, "lowest": lowest, "highest": highest, "baseline": baseline}
                said.append(Caution("outside", *about, year, numbers))
                break
        steps = [abs(after - before) for before, after in pairwise([0.0, *self.changes])]
        if max(steps) > known["largest_change"] * 1.001:
            place = steps.index(max(steps))
            numbers = {"factor": math.exp(steps[place]), "largest": math.exp(known["largest_change"])}
            said.append(Caution("leap", *about, self.years[place], numbers))
        return said


def _inputs(scenario: Any) -> Mapping[str, Any]:
    if not isinstance(scenario, Mapping) or not scenario:
        raise Impossible("scenario", f"at least one of {', '.join(INPUTS)}", scenario)
    for name in scenario:
        if name not in INPUTS:
            raise Impossible("scenario", f"one of {', '.join(INPUTS)}", name)
    return scenario


def _move(effects: Effects, name: str, asked: Any, flow: str, product: str, years: list[int]) -> _Move:
    field = f"scenario.{name}"
    try:
        unit = quantity(name, product).unit
    except VindimaError as reason:
        raise Impossible(field, f"an input that is published ({reason})", name) from None
    known = effects.get((name, flow, product))
    if known is None:
        history = f"an input with {FEWEST_YEARS} years of changes beside prices of {flow} of {product}"
        raise Impossible(field, history, name)
    if not isinstance(asked, Mapping) or set(asked) not in ({"pct"}, {"level"}):
        raise Impossible(field, 'either {"pct": number} or {"level": {year: number}}', asked)
    if "pct" in asked:
        factor = 1 + _number(asked["pct"], f"{field}.pct", "a number of per cent above -100", -100) / 100
        return _Move(known, years, [_log_change(factor, f"{field}.pct", asked["pct"])] * len(years))
    given = asked["level"]
    if not isinstance(given, Mapping) or not given:
        raise Impossible(f"{field}.level", f"a level in {unit} for one or more years", given)
    changes = dict.fromkeys(map(str, years), 0.0)
    for year, level in given.items():
        if str(year) not in changes:
            raise Impossible(f"{field}.level", f"years from {years[0]} to {years[-1]}", year)
        place = f"{field}.level.{year}"
        factor = _number(level, place, f"a number of {unit} above 0", 0) / known["baseline"]
        changes[str(year)] = _log_change(factor, place, level)
    return _Move(known, years, list(changes.values()))


def _number(value: Any, field: str, expected: str, above: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not above < value < 1e300:
        raise Impossible(field, expected, value)
    return float(value)


def _log_change(factor: float, field: str, got: Any) -> float:
    """log of `factor`; one beyond a thousandfold is Impossible."""
    if not 1 / FARTHEST <= factor <= FARTHEST:
        raise Impossible(field, f"a change from the last published level of at most {FARTHEST:,.0f} times", got)
    return math.log(factor)
