"""What looks odd in the figures as published, and how many there are: flags and counts, never a change.

A flag says which check finds which published figure odd, and which finding of the review explains it
(`data/figures/corrections.csv`, `reviewed.csv`). Figures that the source cannot print are refused where they are read
(`ingestion.parse`): a sign, a unit or a decimal that is none is no matter for a flag.
"""

import itertools
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import pandas as pd

from vindima.errors import VindimaError
from vindima.etl import schemas
from vindima.etl.corrections import check_place, is_span, read_csv
from vindima.etl.countries import country_code
from vindima.etl.products import GROUPS, item_code
from vindima.ingestion.catalogue import TABLES, Table
from vindima.ingestion.parse import RawTable, amount
from vindima.series import table_names

REVIEWED = "reviewed.csv"
NEIGHBOURS = 5
"""Years on either side with which a unit value is compared."""
FEWEST_NEIGHBOURS = 4
MODIFIED_Z = 3.5
"""Robust z-score, 0.6745 (x - median) / MAD, beyond which a figure is outside its range: Iglewicz and Hoaglin (1993),
How to Detect and Handle Outliers."""
LEAST_FACTOR = 2.0
"""A price within this factor of the median is never outside the range, however placid the series."""
JUMP_Z = 2.5
LEAST_LEAP = {"price_usd_kg": 2.0, "quantity_kg": 10.0, "quantity_l": 10.0}
"""A figure (a quantity also together with the next year's) jumps where it leaps the same way from the year before and
from the year after, each time by more than this factor and by a robust z-score of the item's own yearly changes of
more than JUMP_Z."""
APART = 2
"""The years beside a figure are at most this far from it: processing of 2021 stands between 2020 and 2023. A quantity
without a year on one side is compared with all years within NEIGHBOURS, as a unit value is."""
LEAST_KG = 1000.0
ALIKE = 0.92
"""Similarity of two labels (difflib, 0 to 1) from which they may be one row misspelt."""

MEASURES = ("quantity_kg", "value_usd")
WHOLE = "all"
"""The item that is a whole table, and the group of a table without groups."""
_MARKS = {"": "blank", "-": "zero", "nd": "not_available", "*": "withheld", "+": "marked"}
_COLUMNS = ["check", "table", "item", "year", "measure", "figure", "low", "high"]
_Rows = Iterator[tuple]


def flags(frames: Mapping[str, pd.DataFrame], raw: Mapping[str, RawTable]) -> pd.DataFrame:
    """`check, table, item, year, measure, figure, low, high`: what the checks find odd in the published figures.

    `frames` are the tidy tables as published, `raw` the tables that they were made from. `item` is a country code, or
    group and product; `low` and `high` the range that was expected (in the measure's unit), null where there is none.
    """
    trade = _trade(frames["trade"])
    series = pd.concat([*_trade_series(trade), *_other_quantities(frames)], ignore_index=True)
    last_year = int(frames["trade"]["year"].max())
    rows = itertools.chain(
        _totals(frames["totals"]),
        _lone_sides(trade),
        _equal_sides(trade),
        _repeated_pairs(trade),
        _outside_range(trade),
        _jumps(series),
        _repeated_totals(frames["processing"]),
        _alike_rows(raw, last_year),
    )
    numbers = dict.fromkeys(("figure", "low", "high"), float)
    return pd.DataFrame(rows, columns=_COLUMNS).astype(numbers | {"year": "int16"})


def _trade(trade: pd.DataFrame) -> pd.DataFrame:
    published = trade[["country", "year"]].assign(
        table=table_names(trade),
        kg=trade["quantity_kg_published"].fillna(0.0),
        usd=trade["value_usd_published"].fillna(0.0),
    )
    return published.sort_values(["table", "country", "year"], ignore_index=True)


def _trade_series(trade: pd.DataFrame) -> Iterator[pd.DataFrame]:
    kept = trade[trade["kg"] >= LEAST_KG]
    item = kept[["table", "year"]].assign(item=kept["country"])
    yield item.assign(measure="quantity_kg", figure=kept["kg"])
    yield item.assign(measure="price_usd_kg", figure=kept["usd"] / kept["kg"])


def _other_quantities(frames: Mapping[str, pd.DataFrame]) -> Iterator[pd.DataFrame]:
    for name in ("production", "sales"):
        frame = frames[name]
        item = frame["product_group"] + "/" + frame["product"]
        yield frame[["year"]].assign(table=name, item=item, measure="quantity_l", figure=frame["quantity_l"])
    frame = frames["processing"]
    item = frame["colour"].fillna(WHOLE) + "/" + frame["cultivar"]
    yield frame[["year"]].assign(
        table="processing_" + frame["grape_class"], item=item, measure="quantity_kg", figure=frame["quantity_kg"]
    )


def _totals(totals: pd.DataFrame) -> _Rows:
    """Printed totals that are not the sum of their parts: the difference, against 0."""
    for row in totals[totals["verdict"] == "differs"].to_dict("records"):
        place = (row["table"], row["group"], row["year"], TABLES[row["table"]].measures[0])
        yield ("total_differs", *place, row["published"], row["computed"], row["computed"])


def _lone_sides(trade: pd.DataFrame) -> _Rows:
    """A value without a quantity, or the other way round: it makes no price."""
    for check, measure, there, absent in (
        ("value_without_quantity", "value_usd", "usd", "kg"),
        ("quantity_without_value", "quantity_kg", "kg", "usd"),
    ):
        for row in trade[(trade[there] > 0) & (trade[absent] == 0)].to_dict("records"):
            yield (check, row["table"], row["country"], row["year"], measure, row[there], None, None)


def _equal_sides(trade: pd.DataFrame) -> _Rows:
    """Kilograms equal to dollars, from a tonne on: one column may have been copied into the other."""
    for row in trade[(trade["kg"] == trade["usd"]) & (trade["kg"] >= LEAST_KG)].to_dict("records"):
        yield ("kg_equals_usd", row["table"], row["country"], row["year"], "quantity_kg", row["kg"], None, None)


def _repeated_pairs(trade: pd.DataFrame) -> _Rows:
    """The same kilograms and dollars in several countries of a year, or in several years of a country.

    From US$ 1,000 on, or in three countries at once: small figures meet by chance.
    """
    some = trade[trade["usd"] > 0]
    found: dict[tuple[str, str, int], float] = {}
    for places in (["table", "year"], ["table", "country"]):
        times = some.groupby([*places, "kg", "usd"])["usd"].transform("size")
        odd = (times >= 2) & (some["usd"] >= LEAST_KG) | (times >= 3) & (places[1] == "year")
        for table, country, year, usd in some.loc[odd, ["table", "country", "year", "usd"]].itertuples(index=False):
            found[str(table), str(country), int(year)] = usd
    for (table, country, year), usd in sorted(found.items()):
        yield ("filler", table, country, year, "value_usd", usd, None, None)


def _outside_range(trade: pd.DataFrame) -> _Rows:
    """Unit values far from those of the years around, of the same country and, where it has few, of all countries."""
    priced = trade[(trade["kg"] > 0) & (trade["usd"] > 0)]
    priced = priced.assign(log=np.log(priced["usd"] / priced["kg"]))
    for _, product in priced.groupby("table", sort=True):
        for _, own in product.groupby("country", sort=True):
            years, logs = own["year"].to_numpy(dtype=int), own["log"].to_numpy()
            for place, (year, log) in enumerate(zip(years, logs, strict=True)):
                near = (np.abs(years - year) <= NEIGHBOURS) & (np.arange(len(years)) != place)
                others = logs[near]
                if near.sum() < FEWEST_NEIGHBOURS:
                    around = product[(product["year"] - year).abs() <= NEIGHBOURS]
                    others = around.loc[around["country"] != own["country"].iloc[0], "log"].to_numpy()
                if len(others) < FEWEST_NEIGHBOURS:
                    continue
                low, high = _robust_range(others, LEAST_FACTOR)
                if not low <= log <= high:
                    key = (own["table"].iloc[0], own["country"].iloc[0], year, "price_usd_kg")
                    yield ("outside_range", *key, *np.exp([log, low, high]).tolist())


def _jumps(series: pd.DataFrame) -> _Rows:
    """Figures that leap away from the years around and back: one year, two years alike, or a year that stands alone.

    Two years and lone years are looked at in quantities only: rows that are exchanged for two years in a row, and
    the one large lot of a country that buys little.
    """
    positive = series[series["figure"] > 0].sort_values(["table", "item", "year"])
    for (table, item, measure), own in positive.groupby(["table", "item", "measure"], sort=True):
        is_price = measure == "price_usd_kg"
        years, figures = own["year"].to_numpy(dtype=int), own["figure"].to_numpy()
        found = {} if is_price else _lone_leaps(years, figures, LEAST_LEAP[str(measure)])
        found |= _leaps(years, figures, LEAST_LEAP[str(measure)], longest=1 if is_price else 2)
        for place, (low, high) in sorted(found.items()):
            yield ("jump", table, item, years[place], measure, figures[place], low, high)


def _leaps(years: np.ndarray, figures: np.ndarray, least_leap: float, longest: int) -> dict[int, tuple[float, float]]:
    """Places of runs of up to `longest` years beyond both years beside the run, with the figures of those two."""
    changes = np.diff(np.log(figures))
    following = np.diff(years) <= APART
    if following.sum() < FEWEST_NEIGHBOURS:
        return {}
    spread = np.median(np.abs(changes[following])) / 0.6745
    factor = max(np.exp(JUMP_Z * spread), least_leap)
    found: dict[int, tuple[float, float]] = {}
    for length, start in itertools.product(range(1, longest + 1), range(1, len(years))):
        end = start + length
        if end < len(years) and following[start - 1 : end].all():
            low, high = sorted([float(figures[start - 1]), float(figures[end])])
            run = figures[start:end]
            if run.min() > high * factor or run.max() * factor < low:
                found |= {place: (low, high) for place in range(start, end) if place not in found}
    return found


def _lone_leaps(years: np.ndarray, figures: np.ndarray, least_leap: float) -> dict[int, tuple[float, float]]:
    """Places of figures without a year beside them that are above the robust range of the years around."""
    logs, found = np.log(figures), {}
    for place, year in enumerate(years):
        gaps = np.abs(years - year)
        has_both = 0 < place < len(years) - 1 and gaps[place - 1] <= APART and gaps[place + 1] <= APART
        others = logs[(gaps <= NEIGHBOURS) & (gaps > 0)]
        if not has_both and len(others) >= FEWEST_NEIGHBOURS:
            low, high = _robust_range(others, least_leap)
            if logs[place] > high:
                found[place] = (float(np.exp(low)), float(np.exp(high)))
    return found


def _robust_range(logs: np.ndarray, least_factor: float) -> tuple[float, float]:
    """The logs up to a modified z-score of MODIFIED_Z from their median, at least a `least_factor` from it."""
    middle = np.median(logs)
    half = max(MODIFIED_Z * np.median(np.abs(logs - middle)) / 0.6745, np.log(least_factor))
    return middle - half, middle + half


def _repeated_totals(processing: pd.DataFrame) -> _Rows:
    """The total of a grape class that is that of another year, but for a kilogram of rounding."""
    sums = processing.groupby(["grape_class", "year"], as_index=False)["quantity_kg"].sum()
    sums = sums[sums["quantity_kg"] > 0].sort_values(["grape_class", "quantity_kg"], ignore_index=True)
    same = (sums["grape_class"] == sums["grape_class"].shift()) & (sums["quantity_kg"].diff() <= 1)
    for row in sums[same | same.shift(-1, fill_value=False)].to_dict("records"):
        key = (f"processing_{row['grape_class']}", WHOLE, row["year"], "quantity_kg")
        yield ("repeated_total", *key, row["quantity_kg"], None, None)


def _alike_rows(raw: Mapping[str, RawTable], last_year: int) -> _Rows:
    """Rows of one group with the same label or the same figures, or with labels that differ by a letter or two.

    The year is the first in which both rows have had a figure: it stays where it is when years are added or cut.
    """
    for table in TABLES.values():
        for group, rows in _rows_of_groups(raw[table.slug], table).items():
            found = set()  # of three rows alike, two are one place
            for (one, first), (other, second) in itertools.combinations(sorted(rows, key=lambda row: row[0]), 2):
                if table.is_trade and country_code(one) == country_code(other):
                    continue
                year = max(min(first), min(second))
                same = one == other or (len(first) > 1 and first == second)
                alike = same or _alike(one, other)
                if alike and year <= last_year:
                    check = "duplicate_row" if same else "near_duplicate_row"
                    found.add((check, table.slug, f"{group}/{other}", year, table.measures[0], None, None, None))
            yield from sorted(found, key=lambda place: place[:4])


def _alike(one: str, other: str) -> bool:
    """'viogner', 'viognier' → True; the two quick ratios are never below the ratio, and spare most of its work."""
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return all(ratio() >= ALIKE for ratio in (matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio))


def _rows_of_groups(raw: RawTable, table: Table) -> dict[str, list[tuple[str, dict[int, list[str]]]]]:
    """Under each group (`WHOLE` without groups) what each row is of, with its cells in the years with a figure."""
    groups = {} if table.is_trade else GROUPS[table.section]
    width = len(table.measures)
    found: dict[str, list[tuple[str, dict[int, list[str]]]]] = {}
    group = WHOLE
    for row in raw.rows:
        label = " ".join(row.label.split())
        by_year = {year: row.cells[place * width : (place + 1) * width] for place, year in enumerate(raw.years)}
        figures = {year: cells for year, cells in by_year.items() if any(amount(cell.strip()) for cell in cells)}
        if label in groups:
            group = groups[label]
        elif figures:
            found.setdefault(group, []).append((item_code(label, table.section), figures))
    return found


def reviewed(figures_dir: Path, findings: pd.DataFrame) -> pd.DataFrame:
    """What was looked at and left: `finding, table, item, first_year, last_year`; an empty item is all of the table.

    Raises VindimaError for an unknown table, a year that is none, a finding that does not decide to leave it, and a
    table or years beyond those of the finding.
    """
    path = figures_dir / REVIEWED
    frame = read_csv(path, ["finding", "table", "item", "first_year", "last_year"])
    left = {row["finding"]: row for row in findings[findings["decision"] == "left"].to_dict("records")}
    for number, row in enumerate(frame.to_dict("records"), 2):
        where = f"{path}, line {number}"
        if row["table"] not in TABLES:
            raise VindimaError(f"{where}: expected one of the tables {', '.join(TABLES)}, got {row['table']!r}")
        if row["finding"] not in left:
            raise VindimaError(f"{where}: expected a finding of findings.csv that is left, got {row['finding']!r}")
        if not is_span(row["first_year"], row["last_year"]):
            raise VindimaError(f"{where}: expected two years, got {row['first_year']!r} and {row['last_year']!r}")
        check_place(where, row["table"], int(row["first_year"]), int(row["last_year"]), left[row["finding"]])
    return frame.astype({"first_year": int, "last_year": int})


def explained(
    flagged: pd.DataFrame, frames: Mapping[str, pd.DataFrame], register: pd.DataFrame, reviewed: pd.DataFrame
) -> pd.DataFrame:
    """`flagged` with the `finding` that explains each flag: a correction of that cell, or a reviewed entry; or null.

    Raises VindimaError for a reviewed entry whose row is not in `frames`, or none of whose figures is odd any more:
    the source has changed under it. In the last `NEIGHBOURS` years, where what is odd still depends on the years to
    come (or on those that were cut), an entry may explain nothing.
    """
    known = set(_items(frames))
    settled = int(frames["trade"]["year"].max()) - NEIGHBOURS
    finding = pd.Series(None, index=flagged.index, dtype=object)
    for row in reviewed.to_dict("records"):
        if row["item"] and (row["table"], row["item"]) not in known:
            raise VindimaError(
                f"{REVIEWED}: {row['finding']} explains {row['table']}, {row['item']}, but that table has no such row"
            )
        here = (flagged["table"] == row["table"]) & flagged["year"].between(row["first_year"], row["last_year"])
        here &= flagged["item"].eq(row["item"]) | (row["item"] == "")
        if row["last_year"] <= settled and not here.any():
            raise VindimaError(
                f"{REVIEWED}: {row['finding']} explains {row['table']}, {row['item'] or 'any row'}, "
                f"{row['first_year']} to {row['last_year']}, where nothing is odd any more: the source has changed, "
                "review the entry"
            )
        finding[here] = row["finding"]
    corrected = register.set_index(["table", "country", "year"])["finding"]
    cells = pd.MultiIndex.from_frame(flagged[["table", "item", "year"]])
    by_correction = corrected.reindex(cells).set_axis(flagged.index)
    finding = by_correction.where(by_correction.notna(), finding)
    return flagged.assign(finding=finding.where(finding.notna(), None))


def _items(frames: Mapping[str, pd.DataFrame]) -> _Rows:
    """(table, item) of everything that a check may name."""
    for frame in _other_quantities(frames):
        yield from frame[["table", "item"]].itertuples(index=False, name=None)
    yield from _trade(frames["trade"])[["table", "country"]].itertuples(index=False, name=None)
    yield from frames["totals"][["table", "group"]].itertuples(index=False, name=None)
    yield from ((table, WHOLE) for table in TABLES)


def counts(raw: Mapping[str, RawTable], trade: pd.DataFrame, last_year: int) -> pd.DataFrame:
    """How many rows and cells each table published in each year, and of what kind.

    Columns `table, year, rows, cells, above_zero, zero, blank, not_available, withheld, marked` of the published
    cells, and `corrected`: cells of `trade` in use that are another figure. In the catalogue's order, then by year.
    """
    other = [trade[measure].fillna(0) != trade[f"{measure}_published"].fillna(0) for measure in MEASURES]
    changed = other[0].astype(int) + other[1].astype(int)
    corrected = changed.groupby([table_names(trade), trade["year"]]).sum()
    lines = []
    for name, table in TABLES.items():
        width = len(table.measures)
        for position, year in enumerate(raw[name].years):
            if year > last_year:
                continue
            cells = pd.Series(
                [
                    _kind(text)
                    for row in raw[name].rows
                    for text in row.cells[position * width : (position + 1) * width]
                ]
            )
            kinds = cells.value_counts()
            line = {"table": name, "year": year, "rows": len(raw[name].rows), "cells": len(cells)}
            lines.append(
                line
                | {kind: int(kinds.get(kind, 0)) for kind in schemas.KINDS}
                | {"corrected": corrected.get((name, year), 0)}
            )
    return pd.DataFrame(lines)


def _kind(text: str) -> str:
    cell = text.strip()
    return _MARKS.get(cell) or ("above_zero" if amount(cell) else "zero")
