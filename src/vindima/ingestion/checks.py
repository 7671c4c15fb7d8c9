"""Is what was collected what the site shows, and no less than what is on hand?"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from vindima.ingestion.catalogue import Table
from vindima.ingestion.parse import Page, PageRow, RawTable, Row, amount, shown

T = TypeVar("T", Row, PageRow)

SHOWN_AS_ONE = Decimal("0.5")
"""The least that a page, which rounds, shows as a number above zero."""


@dataclass(frozen=True)
class Disagreement:
    """One cell that a page shows otherwise than the download has it; None where one of them lacks the row."""

    table: str
    year: int
    row: int
    label: str
    measure: str
    download: str | None
    page: str | None

    def __str__(self) -> str:
        download, page = ("no such row" if cell is None else repr(cell) for cell in (self.download, self.page))
        place = f"{self.table} {self.year}, row {self.row} ({self.label}), {self.measure}"
        return f"{place}: the download has {download}, the page {page}"


def disagreements(raw: RawTable, page: Page, table: Table) -> list[Disagreement]:
    """Where `page` and the download `raw` differ, but for what a page cannot show (see `parse.shown`) and rounding.

    Rows are paired by label and, for a label that occurs more than once, by their order. A year that the download
    does not have gives none.
    """
    if page.year not in raw.years:
        return []
    width = len(table.measures)
    start = raw.years.index(page.year) * width
    ours, theirs = _numbered(raw.rows), _numbered(page.rows)
    found = []
    for key in [*ours, *(key for key in theirs if key not in ours)]:
        position, row = ours.get(key, (None, None))
        shown_position, shown_row = theirs.get(key, (None, None))
        cells = row.cells[start : start + width] if row else [None] * width
        pairs = zip(table.measures, cells, shown_row.cells if shown_row else [None] * width, strict=True)
        found += [
            Disagreement(table.slug, page.year, position or shown_position or 0, key[0], measure, cell, shown_cell)
            for measure, cell, shown_cell in pairs
            if cell is None or shown_cell is None or not _same(cell, shown_cell, table)
        ]
    return found


@dataclass(frozen=True)
class Extent:
    """How much a table holds: what a collection may not fall behind."""

    last_year: int
    rows: int
    cells_above_zero: int


def extent(raw: RawTable) -> Extent:
    """The extent of a table. Cells that a page would not show as a number above zero are not counted."""
    cells = Counter(cell for row in raw.rows for cell in row.cells)
    above_zero = sum(times for cell, times in cells.items() if (amount(cell.strip()) or 0) >= SHOWN_AS_ONE)
    return Extent(raw.years[-1], len(raw.rows), above_zero)


def losses(before: Extent, after: Extent) -> Iterator[str]:
    """What `after` has less of than `before`, each as words: 'the last year falls from 2023 to 2022'."""
    for what, measure in (
        ("the last year", lambda extent: extent.last_year),
        ("the number of rows", lambda extent: extent.rows),
        ("the number of cells above zero", lambda extent: extent.cells_above_zero),
    ):
        if measure(after) < measure(before):
            yield f"{what} falls from {measure(before)} to {measure(after)}"


def _numbered(rows: Sequence[T]) -> dict[tuple[str, int], tuple[int, T]]:
    """Each row with its position from 1, by its label and how often that stood above it."""
    times: Counter[str] = Counter()
    numbered = {}
    for position, row in enumerate(rows, 1):
        label = " ".join(row.label.split())
        numbered[label, times[label]] = (position, row)
        times[label] += 1
    return numbered


def _same(cell: str, shown_cell: str, table: Table) -> bool:
    expected = shown(cell, table)
    if expected == shown_cell:
        return True
    published, seen = amount(cell.strip()), 0 if shown_cell == "-" else amount(shown_cell)
    return published is not None and seen is not None and abs(published - seen) < 1
