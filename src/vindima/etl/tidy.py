"""From rows of text to typed, validated tables, and the published totals beside what their parts add up to."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pandas as pd

from vindima import files
from vindima.errors import VindimaError
from vindima.etl import corrections, crosscheck, quality, schemas
from vindima.etl.countries import country_code
from vindima.etl.products import GROUPS, item_code, plain_name
from vindima.ingestion import raw_zone
from vindima.ingestion.catalogue import TABLES, Table
from vindima.ingestion.parse import CELL, MARKS, RawTable, Row, aggregates, amount, place, row_level

STATUSES = {"": "blank", "nd": "not_available", "*": "withheld", "+": "marked"}
"""What it means that the source prints no number; a page's `-` is a zero unless the year is withheld."""

WHOLE_GROUP = "Total do grupo"

ROUNDING = 0.5
"""A total within half a unit of its parts is equal: the source prints some years with decimals, some without."""

CONTRACTS = {
    "production": schemas.PRODUCTION,
    "sales": schemas.SALES,
    "processing": schemas.PROCESSING,
    "trade": schemas.TRADE,
    "totals": schemas.TOTALS,
}
REVIEW = {
    "corrections": schemas.CORRECTIONS,
    "findings": schemas.FINDINGS,
    "crosscheck": schemas.CROSSCHECK,
    "flags": schemas.FLAGS,
}
"""What stands beside the five tables: how far they can be trusted."""

FOOTNOTE_AGGREGATES = {
    "processing_viniferas": "Uvas viníferas",
    "processing_american_hybrid": "Uvas americanas ou híbridas",
}


@dataclass(frozen=True)
class Cell:
    """One published cell: its number, or null and the status that tells why."""

    value: float | None
    status: str


def read_cell(text: str, where: str) -> Cell:
    """'nd' → Cell(None, 'not_available'); '0' → Cell(0.0, 'reported'); a page's '-' is 0.

    Raises VindimaError that names `where` for anything that is neither a number nor a mark.
    """
    text = text.strip()
    if text in STATUSES:
        return Cell(None, STATUSES[text])
    value = Decimal(0) if text == "-" else amount(text)
    if value is None:
        raise VindimaError(f"{where}: expected {CELL}, got {text!r}")
    return Cell(float(value), "reported")


def combine(cells: Iterable[Cell]) -> Cell:
    """The sum of cells that share a key; null, with the first status, where none of them has a number.

    Sums are exact (`math.fsum`): Python 3.12 changed how `sum` rounds, and a table is the same bytes on every Python.
    """
    cells = list(cells)
    numbers = [cell.value for cell in cells if cell.value is not None]
    return Cell(math.fsum(numbers), "reported") if numbers else cells[0]


def _cells(raw: RawTable, row: Row, table: Table, last_year: int) -> Iterator[tuple[int, list[Cell]]]:
    """For each year up to `last_year`, the row's cells in the order of `table.measures`."""
    width = len(table.measures)
    for position, year in enumerate(raw.years):
        if year <= last_year:
            where = place(raw, row, year)
            texts = row.cells[position * width : (position + 1) * width]
            yield year, [read_cell(text, where) for text in texts]


@dataclass(frozen=True)
class _GroupRow:
    """A part of a group in one year, or the group itself under the code `all`."""

    group: str | None
    code: str
    label: str
    year: int
    cell: Cell


def _groups(raw: RawTable, table: Table) -> list[tuple[str, Row, list[Row]]]:
    """Group name, group row and its parts, in the site's order."""
    known = GROUPS[table.section]
    groups: list[tuple[str, Row, list[Row]]] = []
    for row in raw.rows:
        label = " ".join(row.label.split())
        where = f"{table.slug}, row {row.row}"
        if row_level(row) == "item":
            if label not in known:
                raise VindimaError(f"{where}: expected one of the groups {', '.join(known)}, got {label!r}")
            groups.append((known[label], row, []))
        elif groups:
            groups[-1][2].append(row)
        else:
            raise VindimaError(f"{where}: {label!r} stands before the first group row")
    return groups


def _verdict(published: Cell, parts: list[Cell]) -> tuple[float | None, str]:
    """Sum of the parts (null where there is none to speak of) and how it compares with the published total."""
    if published.value is None:
        return None, "not_available"
    computed = math.fsum(cell.value or 0.0 for cell in parts)
    if published.value and not computed:
        return None, "aggregate_only"
    return computed, "equal" if abs(published.value - computed) <= ROUNDING else "differs"


def _hierarchical(raw: RawTable, table: Table, last_year: int) -> tuple[list[_GroupRow], list[tuple]]:
    """Rows and `totals` tuples of a table whose rows stand in groups.

    A group without parts, or with parts that are all 0 or blank in a year when the group is not, is one row
    with the code `all`. Rows of one product or cultivar in a group are summed under the first one's label.
    """
    rows, totals = [], []
    for group, total_row, part_rows in _groups(raw, table):
        published = {year: cell for year, [cell] in _cells(raw, total_row, table, last_year)}
        parts: dict[int, dict[str, list[Cell]]] = {year: {} for year in published}
        labels: dict[str, str] = {}
        for row in part_rows:
            code = _code(row, table)
            labels.setdefault(code, plain_name(row.label))
            for year, [cell] in _cells(raw, row, table, last_year):
                parts[year].setdefault(code, []).append(cell)
        for year, total in published.items():
            cells = {code: combine(same) for code, same in parts[year].items()}
            computed, verdict = _verdict(total, list(cells.values()))
            if not part_rows or verdict == "aggregate_only":
                status = "aggregate_only" if total.value is not None else total.status
                rows.append(_GroupRow(group, "all", WHOLE_GROUP, year, Cell(total.value, status)))
            else:
                rows += [_GroupRow(group, code, labels[code], year, cell) for code, cell in cells.items()]
            if part_rows:
                gap = None if computed is None or total.value is None else total.value - computed
                totals.append((table.slug, group, year, total.value, computed, gap, verdict))
    return rows, totals


def _by_product(raw: RawTable, table: Table, last_year: int) -> tuple[list[tuple], list[tuple]]:
    """Production or sales in litres: a tuple for each product group, product and year; and the totals."""
    rows, totals = _hierarchical(raw, table, last_year)
    return [(row.year, row.group, row.code, row.label, row.cell.value, row.cell.status) for row in rows], totals


def _code(row: Row, table: Table) -> str:
    """The country, product or cultivar of a row; VindimaError that names table and row for one that nobody mapped."""
    try:
        return country_code(row.label) if table.is_trade else item_code(row.label, table.section)
    except VindimaError as error:
        raise VindimaError(f"{table.slug}, row {row.row}: {error}") from None


def _footnote_aggregates(raw: RawTable, table: Table, last_year: int) -> Iterator[_GroupRow]:
    """The aggregates that only a page's footnote gives: `[Uvas viníferas: 99.738.086; …]`, in kilograms."""
    label = FOOTNOTE_AGGREGATES.get(table.slug, "")
    for note in raw.notes:
        if note.year <= last_year and (figure := dict(aggregates(note.text)).get(label)):
            where = f"{table.slug} {note.year}, footnote"
            yield _GroupRow(
                None, "all", WHOLE_GROUP, note.year, Cell(read_cell(figure, where).value, "aggregate_only")
            )


def _with_withheld(raw: RawTable, years: Iterable[int]) -> RawTable:
    """`raw` with `*` for `-` in each of `years` for which it has no number at all.

    Most pages show a withheld `*` as `-`, which is a zero in any other year (processing 2022).
    """
    cells = [list(row.cells) for row in raw.rows]
    for position in (raw.years.index(year) for year in years if year in raw.years):
        if all(row[position].strip() in MARKS for row in cells):
            for row in cells:
                row[position] = "*" if row[position].strip() == "-" else row[position]
    return replace(raw, rows=[replace(row, cells=texts) for row, texts in zip(raw.rows, cells, strict=True)])


def _processing(raw: RawTable, table: Table, last_year: int) -> tuple[list[tuple], list[tuple]]:
    """Grapes processed in kilograms: a tuple for each colour, cultivar and year; and the totals."""
    if table.topic == "unclassified":
        totals: list[tuple] = []
        rows = [
            _GroupRow(None, _code(row, table), plain_name(row.label), year, cell)
            for row in raw.rows
            for year, [cell] in _cells(raw, row, table, last_year)
        ]
    else:
        rows, totals = _hierarchical(raw, table, last_year)
    rows += _footnote_aggregates(raw, table, last_year)
    found = [(row.year, table.topic, row.group, row.code, row.label, row.cell.value, row.cell.status) for row in rows]
    return found, totals


def _trade(raw: RawTable, table: Table, last_year: int) -> list[tuple]:
    """Imports or exports of one product: a tuple for each country and year.

    Names of one country are summed under the label that was last seen with trade.
    """
    labels: dict[str, tuple[int, str]] = {}
    cells: dict[tuple[str, int], list[list[Cell]]] = {}
    for row in raw.rows:
        country = _code(row, table)
        by_year = dict(_cells(raw, row, table, last_year))
        for year, pair in by_year.items():
            cells.setdefault((country, year), []).append(pair)
        last_traded = max((year for year, pair in by_year.items() if any(cell.value for cell in pair)), default=0)
        labels[country] = max(labels.get(country, (0, "")), (last_traded, " ".join(row.label.split())))
    found = []
    for (country, year), pairs in cells.items():
        quantity, value = (combine(column) for column in zip(*pairs, strict=True))
        kg, usd = quantity.value, value.value
        place = (table.section, table.topic, country, year, labels[country][1])
        found.append((*place, kg, usd, kg, usd, quantity.status, value.status))
    return found


def tidy(tables: dict[str, RawTable], last_year: int | None) -> dict[str, pd.DataFrame]:
    """The five tidy tables as published, by name: production, sales, processing, trade, totals.

    `last_year` cuts every table; None stands for the newest year of trade. Raises VindimaError for a missing table,
    an unreadable cell, an unmapped country, a year that the trade tables do not reach, or a broken contract.
    """
    if missing := sorted(set(TABLES) - set(tables)):
        raise VindimaError(f"the raw zone lacks {', '.join(missing)}: run the collect stage again")
    newest = max(max(tables[slug_].years) for slug_, table in TABLES.items() if table.is_trade)
    oldest = min(min(tables[slug_].years) for slug_, table in TABLES.items() if table.is_trade)
    if last_year is None:
        last_year = newest
    elif not oldest <= last_year <= newest:
        raise VindimaError(f"data.last_year: expected a year of trade from {oldest} to {newest}, got {last_year}")

    processing = [raw for slug_, raw in tables.items() if TABLES[slug_].section == "processing"]
    # A footnote of 2022 says of all grapes that only totals were released; not every page of that year repeats it.
    totals_alone = {note.year for raw in processing for note in raw.notes if aggregates(note.text)}

    found: dict[str, list[tuple]] = {name: [] for name in CONTRACTS}
    for table in TABLES.values():
        raw = tables[table.slug]
        if table.is_trade:
            found["trade"] += _trade(raw, table, last_year)
        else:
            if table.section == "processing":
                rows, totals = _processing(_with_withheld(raw, totals_alone), table, last_year)
            else:
                rows, totals = _by_product(raw, table, last_year)
            found[table.section] += rows
            found["totals"] += totals
    frames = {name: schemas.frame(rows, CONTRACTS[name]) for name, rows in found.items()}
    return {name: schemas.validate(frame, CONTRACTS[name]) for name, frame in frames.items()}


def run(
    raw_dir: Path,
    figures_dir: Path,
    tidy_dir: Path,
    reports_dir: Path,
    last_year: int | None,
    scope: corrections.Scope,
) -> dict[str, pd.DataFrame]:
    """Tidy the raw zone in `raw_dir` into `tidy_dir/<table>.parquet`; return the tables, and `counts`.

    `scope` says which entries of the register of corrections in `figures_dir` apply to trade. Beside the five tables
    stand the register and what the review found (`corrections`, `findings`), exports of wine beside Comex Stat
    (`crosscheck`) and what the checks find odd (`flags`). How many cells each table has in each year is written to
    `reports_dir/counts.csv`. Nothing is written where anything is refused.
    """
    _, tables = raw_zone.read(raw_dir)
    frames = tidy(tables, last_year)
    published = frames["trade"]
    newest = int(published["year"].max())
    register, findings = corrections.register(figures_dir), corrections.findings(figures_dir)
    frames["trade"] = corrections.apply(published, register, scope)
    frames["corrections"] = register.assign(applied=corrections.applying(register, published, scope))
    frames["findings"] = findings
    frames["crosscheck"] = crosscheck.crosscheck(frames["trade"], crosscheck.comexstat(figures_dir))
    flags = quality.flags(as_published := frames | {"trade": published}, tables)
    frames["flags"] = quality.explained(flags, as_published, register, quality.reviewed(figures_dir, findings))
    counts = quality.counts(tables, frames["trade"], newest)
    schemas.validate(counts, schemas.COUNTS)
    contracts = CONTRACTS | REVIEW
    schemas.write_all((frames[name], contract, tidy_dir / f"{name}.parquet") for name, contract in contracts.items())
    files.write(reports_dir / "counts.csv", counts.to_csv(index=False, lineterminator="\n"))
    return frames | {"counts": counts}
