"""The price index of what is traded: how much of a change in the unit value is price, and how much is mix.

A total's unit value moves when prices move and also when trade shifts between dear and cheap countries. The index
compares each country with itself, from one year with trade to the next, and chains the links; what the unit value
did beyond that is the mix between countries, so `unit_value_relative = fisher × mix`.

* Prices are the countries' unit values, nominal US$ FOB a kilogram. What changes inside a country (bulk against
  bottled, cheap against dear wine) stays in its unit value and so in the price, not in the mix.
* Countries that enter or leave between two years have no price to compare: they fall into the mix. So do the rows
  that are no country (`series.NOT_COUNTRIES`), each of which stands for other countries every year.
* A year without trade is bridged: its neighbours are linked. Where no country trades in both years of a link,
  `fisher` and `tornqvist` repeat and the mix takes the whole change.
* A chain strays where prices of small flows bounce (exports of sparkling wine): read a span of years, not half a
  century, and see whether both formulas agree.

Formulas: ILO, IMF, OECD, UNECE, Eurostat and World Bank, *Consumer Price Index Manual: Theory and Practice* (2004),
chapter 15: Laspeyres (15.5), Paasche (15.6), Fisher (15.12), Törnqvist (15.81), chained from period to period. Both
are superlative: Diewert, "Exact and superlative index numbers", *Journal of Econometrics* 4 (1976). Why unit values
of unlike goods mislead: *Export and Import Price Index Manual: Theory and Practice* (IMF, 2009), chapter 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from vindima.errors import VindimaError
from vindima.series import NOT_COUNTRIES, total_names

if TYPE_CHECKING:
    import pandas as pd

LEVELS = ["fisher", "tornqvist", "unit_value_relative", "mix"]

SPAN = 10
"""Years of a split that nobody chose: long enough to see a change, short enough for a chain that does not stray."""

LEAST_MATCHED = 0.75
"""With a smaller share of the value in countries that trade in both years of a link, much of what the prices did is
unknown and counts as mix; a split across such a link comes with a note."""
DRIFT = 0.1
"""So far (in logs, about 10 per cent) the chain may be from the direct comparison of the first year with the last one
before a split comes with a note; half of the value of both years is to be compared directly for that."""

Traded = Mapping[str, tuple[float, float]]
"""What one year traded: country → (quantity, value), both above 0."""


@dataclass(frozen=True)
class Link:
    """Price change from one year to another by each formula, 1 for none."""

    fisher: float
    tornqvist: float


def link(before: Traded, after: Traded) -> Link:
    """Bilateral Fisher and Törnqvist index over the countries that trade in both years; 1 and 1 where none does.

    Fisher is √(Laspeyres × Paasche), Törnqvist exp(Σ ½(s₀ + s₁) ln(p₁/p₀)), s being shares of the matched value.
    Sums are `math.fsum`'s, so that the order of the countries changes no bit.
    """
    matched = [(*before[country], *after[country]) for country in _in_both(before, after)]
    if not matched:
        return Link(1.0, 1.0)
    value0 = math.fsum(v0 for _, v0, _, _ in matched)
    value1 = math.fsum(v1 for _, _, _, v1 in matched)
    laspeyres = math.fsum(v1 / q1 * q0 for q0, _, q1, v1 in matched) / value0
    paasche = value1 / math.fsum(v0 / q0 * q1 for q0, v0, q1, _ in matched)
    change = math.fsum(
        (v0 / value0 + v1 / value1) / 2 * math.log((v1 / q1) / (v0 / q0)) for q0, v0, q1, v1 in matched
    )
    return Link(math.sqrt(laspeyres * paasche), math.exp(change))


def _in_both(before: Traded, after: Traded) -> set[str]:
    """Countries that trade in both years."""
    return (before.keys() & after.keys()) - set(NOT_COUNTRIES)


def matched(before: Traded, after: Traded) -> float:
    """Share of the value that is with countries that trade in both years, from 0 to 1: the smaller of both years'."""
    countries = _in_both(before, after)
    return min(
        math.fsum(year[country][1] for country in countries) / math.fsum(value for _, value in year.values())
        for year in (before, after)
    )


def _unit_value(traded: Traded) -> float:
    return math.fsum(value for _, value in traded.values()) / math.fsum(quantity for quantity, _ in traded.values())


def chain(years: Mapping[int, Traded]) -> Iterator[tuple[int, float, float, float, float]]:
    """Yield `year, fisher, tornqvist, unit_value_relative, mix` of each year, in order: levels, 1 in the first."""
    ordered = sorted(years)
    first = ordered[0]
    yield first, 1.0, 1.0, 1.0, 1.0
    fisher = tornqvist = 1.0
    for before, year in pairwise(ordered):
        step = link(years[before], years[year])
        fisher, tornqvist = fisher * step.fisher, tornqvist * step.tornqvist
        relative = _unit_value(years[year]) / _unit_value(years[first])
        yield year, fisher, tornqvist, relative, relative / fisher


def span(table: pd.DataFrame, series: str, first: int, last: int) -> pd.DataFrame:
    """The levels of a total (`imports.table_wine`) from `first` to `last`, 1 in `first`; the years are its index.

    Raises VindimaError for a series that is not in the index table, for a `first` that is not before `last`, and for
    either of them without trade.
    """
    levels = table[total_names(table) == series].set_index("year")[LEVELS]
    if levels.empty:
        known = ", ".join(sorted(set(total_names(table))))
        raise VindimaError(f"price index: expected one of {known}, got {series!r}")
    if first >= last:
        raise VindimaError(f"price index of {series}: expected a first year before the last, got {first} and {last}")
    for year in (first, last):
        if year not in levels.index:
            known = f"a year with trade from {levels.index.min()} to {levels.index.max()}"
            raise VindimaError(f"price index of {series}: expected {known}, got {year}")
    return levels.loc[first:last] / levels.loc[first]


def years_with_trade(table: pd.DataFrame, series: str) -> list[int]:
    """The years that the index table has of a total, in order; none for a series that is not in it."""
    return sorted(table.loc[total_names(table) == series, "year"].tolist())


def usual_span(years: Sequence[int]) -> tuple[int, int] | None:
    """First and last of the years with trade in the last `SPAN` years, two at least; None where there are not two."""
    if len(years) < 2:
        return None
    first = next(year for year in years if year > years[-1] - SPAN)
    return min(first, years[-2]), years[-1]


@dataclass(frozen=True)
class Split:
    """A change of a total's unit value as factors (1.05 is a rise of 5 per cent): `unit_value = price × mix`."""

    series: str
    first: int
    last: int
    unit_value: float
    price: float
    mix: float


def split(table: pd.DataFrame, series: str, first: int, last: int) -> Split:
    """How much of the change of a total's unit value from `first` to `last` is price (Fisher), how much mix.

    Raises VindimaError as `span` does.
    """
    levels = span(table, series, first, last)
    ends = [(year, {name: float(levels[name].loc[year]) for name in LEVELS}) for year in (first, last)]
    return split_between(series, *ends)


def split_between(
    series: str, first: tuple[int, Mapping[str, float]], last: tuple[int, Mapping[str, float]]
) -> Split:
    """The split from one year to another, each given with its levels."""
    changes = [last[1][name] / first[1][name] for name in ("unit_value_relative", "fisher", "mix")]
    return Split(series, first[0], last[0], *changes)


@dataclass(frozen=True)
class FewMatched:
    """From `before` to `after` only this `share` of the value (0.6: 60 per cent) is with countries of both years."""

    before: int
    after: int
    share: float


@dataclass(frozen=True)
class Drift:
    """From `first` to `last` the chain says `price`, and countries that trade in both years say `direct`: factors."""

    first: int
    last: int
    direct: float
    price: float


Note = FewMatched | Drift


def notes(prices: pd.DataFrame, change: Split) -> list[Note]:
    """What makes a split less certain (`notes_on`), from the price table."""
    countries = prices[prices["country"].notna() & (total_names(prices) == change.series)]
    countries = countries[countries["year"].between(change.first, change.last)]
    columns = ["year", "country", "quantity_kg", "value_usd"]
    return notes_on(countries[columns].sort_values("year").itertuples(index=False), change)


def notes_on(countries: Iterable[tuple[int, str, float, float]], change: Split) -> list[Note]:
    """What makes a split less certain; most have nothing, and so has one without countries to compare.

    `countries` is `year, country, quantity, value` of the years of the split, in the order of the years. Noted are
    the link in which the smallest share of the value could be compared (`LEAST_MATCHED`), and a chain that strays
    from the direct comparison of the first year with the last (`DRIFT`).
    """
    years: dict[int, dict[str, tuple[float, float]]] = {}
    for year, country, quantity, value in countries:
        years.setdefault(year, {})[country] = (quantity, value)
    found: list[Note] = []
    if not {change.first, change.last} <= years.keys():
        return found
    share, before, after = min((matched(years[a], years[b]), a, b) for a, b in pairwise(years))
    if share < LEAST_MATCHED:
        found.append(FewMatched(before, after, share))
    ends = years[change.first], years[change.last]
    direct = link(*ends).fisher
    if matched(*ends) >= 1 / 2 and abs(math.log(change.price / direct)) > DRIFT:
        found.append(Drift(change.first, change.last, direct, change.price))
    return found
