"""What the source changed between two vintages: years, rows, cells.

A vintage is compared table by table; a table that one of the two does not have is not compared. Rows have no key in
the source (row numbers shift, labels repeat), so they are paired by what they say, each among the rows of its group.
"""

import unicodedata
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from functools import lru_cache
from typing import Any

from vindima.ingestion.catalogue import TABLES, Table
from vindima.ingestion.parse import RawTable, amount, row_level, shown

KINDS = (
    "year_removed", "year_added", "row_removed", "row_added", "row_renamed", "row_moved", "cell_changed",
)  # fmt: skip
"""The kinds of revision, in the order in which they are told."""


@dataclass(frozen=True)
class Revision:
    """One thing that changed in a table; None where a field says nothing for its `kind`.

    `row` and `label` are the row's position and label in the newer table, for `row_removed` in the older one.
    `before` and `after` are the texts of a cell (`cell_changed`), two labels (`row_renamed`) or two positions
    (`row_moved`).
    """

    table: str
    kind: str
    row: int | None = None
    label: str | None = None
    year: int | None = None
    measure: str | None = None
    before: str | None = None
    after: str | None = None

    def __str__(self) -> str:
        """'1985, row 12 (Chile), quantity_kg: 100 → 200'; without the table."""
        where = f"row {self.row} ({self.label})"
        if self.kind.startswith("year"):
            return f"{self.year} {self.kind.removeprefix('year_')}"
        if self.kind == "cell_changed":
            return f"{self.year}, {where}, {self.measure}: {self.before or 'blank'} → {self.after or 'blank'}"
        changed = f": {self.before} → {self.after}" if self.before else ""
        return f"{where} {self.kind.removeprefix('row_')}{changed}"


COLUMNS = ("from", "to", *(column.name for column in fields(Revision)))
"""Of a recorded revision: between which vintages, and what."""


def compare(before: Mapping[str, RawTable], after: Mapping[str, RawTable]) -> list[Revision]:
    """The revisions of all tables that both vintages have, in the catalogue's order.

    Rows are paired within their group by label, by label without accents, case, spaces and signs, and at last by
    equal cells in all years that both tables have, one of them above zero (such a row was renamed). A row with equal
    cells and label under another group was moved; else rows that were moved are the fewest whose order among their
    siblings changed, so that a row number that an insertion shifts is no move. Spaces alone are no other label.

    A year or row that came or went is one revision, whatever stands in it. Cells are compared in the years that both
    tables have: as numbers where both are numbers (35881118,23 and 35.881.118,23 are one), as text otherwise, so that
    blank, 0, `nd` and `*` are four different things. Where a table was read from pages, which round and show no
    blank, both are compared as pages would show them.
    """
    return [
        revision
        for slug, table in TABLES.items()
        if slug in before and slug in after
        for revision in _revisions(table, before[slug], after[slug])
    ]


def not_compared(before: Mapping[str, RawTable], after: Mapping[str, RawTable]) -> list[str]:
    """The tables of the catalogue that two vintages do not both have, in its order."""
    return [slug for slug in TABLES if slug not in before or slug not in after]


def record(revisions: Iterable[Revision], before: str, after: str) -> list[dict[str, Any]]:
    """The revisions as the manifest and data/figures/revisions.csv have them (see COLUMNS)."""
    return [{"from": before, "to": after} | asdict(revision) for revision in revisions]


def counted(kinds: Iterable[str]) -> str:
    """['row_added', 'row_added', 'cell_changed'] → '2 rows added, 1 cell changed'; 'nothing changed' for none."""
    times = Counter(kinds)
    words = []
    for kind in KINDS:
        if times[kind]:
            what, how = kind.split("_")
            words.append(f"{times[kind]} {what}{'s' if times[kind] > 1 else ''} {how}")
    return ", ".join(words) or "nothing changed"


def report(before: Mapping[str, RawTable], after: Mapping[str, RawTable], most: int | None = 10) -> str:
    """What changed, in words: for each table a line that counts, then its changes, `most` of them (None: all)."""
    revisions = compare(before, after)
    absent = not_compared(before, after)
    lines = []
    for slug in (slug for slug in TABLES if slug not in absent):
        changes = [revision for revision in revisions if revision.table == slug]
        lines.append(f"{slug}: {counted(change.kind for change in changes)}")
        lines += [f"  {change}" for change in changes[:most]]
        if most is not None and len(changes) > most:
            lines.append(f"  … and {len(changes) - most} more")
    if absent:
        lines.append(f"not compared, because not in both: {', '.join(absent)}")
    return "\n".join(lines)


def newest(recorded: Sequence[Mapping[str, Any]]) -> str:
    """The last recorded revisions, in a sentence, from a manifest's `revisions`."""
    if not recorded:
        return "No revision of the source is recorded."
    last = max(revision["to"] for revision in recorded)
    latest = [revision for revision in recorded if revision["to"] == last]
    since = " and ".join(sorted({revision["from"] for revision in latest}))
    tables = len({revision["table"] for revision in latest})
    kinds = counted(revision["kind"] for revision in latest)
    return f"From {since} to {last} the source changed {tables} {'table' if tables == 1 else 'tables'}: {kinds}."


@dataclass(frozen=True)
class _Line:
    """A row as it is compared: `texts` are its cells of the years that both tables have, `cells` what they mean."""

    row: int
    label: str
    plain: str
    group: int | None
    texts: list[str]
    cells: tuple[Decimal | str, ...]

    @property
    def figures(self) -> tuple[Decimal | str, ...] | None:
        """Its cells where they tell it from other rows: where one is above zero."""
        return self.cells if any(isinstance(cell, Decimal) and cell > 0 for cell in self.cells) else None


_Pair = tuple[_Line, _Line]
_SAME: tuple[Callable[[_Line], Hashable], ...] = (
    lambda line: (line.label, line.cells),
    lambda line: line.label,
    lambda line: line.plain and (line.plain, line.cells),
    lambda line: line.plain,
)
"""What two rows of one group have in common that are the same, the surest first."""


def _revisions(table: Table, before: RawTable, after: RawTable) -> Iterator[Revision]:
    def told(kind: str, line: _Line, **more: Any) -> Revision:
        return Revision(table.slug, kind, line.row, line.label, **more)

    for kind, years in (
        ("year_removed", sorted(set(before.years) - set(after.years))),
        ("year_added", sorted(set(after.years) - set(before.years))),
    ):
        yield from (Revision(table.slug, kind, year=year) for year in years)
    common = [year for year in after.years if year in before.years]
    by_pages = any(raw.source.startswith("index.php") for raw in (before, after))
    old, new = (_lines(table, raw, common, by_pages) for raw in (before, after))
    pairs, moved = _paired(old, new)
    yield from (told("row_removed", line) for line in _rest(old, pairs, 0))
    yield from (told("row_added", line) for line in _rest(new, pairs, 1))
    for was, now in pairs:
        if was.label != now.label:
            yield told("row_renamed", now, before=was.label, after=now.label)
    for was, now in pairs:
        if now.row in moved:
            yield told("row_moved", now, before=str(was.row), after=str(now.row))
    places = [(year, measure) for year in common for measure in table.measures]
    for was, now in pairs:
        for index, (year, measure) in enumerate(places):
            if was.cells[index] != now.cells[index]:
                texts = {"before": was.texts[index], "after": now.texts[index]}
                yield told("cell_changed", now, year=year, measure=measure, **texts)


def _lines(table: Table, raw: RawTable, years: Sequence[int], by_pages: bool) -> list[_Line]:
    """The rows of a table, each with the position of its group's row (None: under none) and its cells of `years`."""
    width = len(table.measures)
    indices = [raw.years.index(year) * width + offset for year in years for offset in range(width)]
    lines = []
    group = None
    for row in raw.rows:
        below = not table.is_trade and row_level(row) == "subitem"
        texts = [row.cells[index].strip() for index in indices]
        cells = tuple(_value(text, table if by_pages else None) for text in texts)
        label = " ".join(row.label.split())
        lines.append(_Line(row.row, label, _plain(label), group if below else None, texts, cells))
        group = group if below else row.row
    return lines


def _paired(old: Sequence[_Line], new: Sequence[_Line]) -> tuple[list[_Pair], set[int]]:
    """Which lines of two tables are the same row, in the newer order, and which (newer positions) were moved."""
    below: tuple[dict[int | None, list[_Line]], ...] = (defaultdict(list), defaultdict(list))
    for side, lines in enumerate((old, new)):
        for line in lines:
            below[side][line.group].append(line)
    groups = _pair_siblings(below[0][None], below[1][None])
    pairs, moved = list(groups), _out_of_order(groups)
    for was, now in groups:
        siblings = _pair_siblings(below[0][was.row], below[1][now.row])
        pairs += siblings
        moved |= _out_of_order(siblings)
    strayed = list(
        _matches(
            _rest(old, pairs, 0),
            _rest(new, pairs, 1),
            lambda line: line.plain and line.figures and (line.plain, line.figures),
            alone=True,
        )
    )
    moved |= {now.row for _, now in strayed}
    return sorted([*pairs, *strayed], key=lambda pair: pair[1].row), moved


def _pair_siblings(old: Sequence[_Line], new: Sequence[_Line]) -> list[_Pair]:
    """The same rows under one group, in the older order."""
    pairs: list[_Pair] = []
    for key in _SAME:
        pairs += _matches(_rest(old, pairs, 0), _rest(new, pairs, 1), key)
    pairs += _matches(_rest(old, pairs, 0), _rest(new, pairs, 1), lambda line: line.figures, alone=True)
    return sorted(pairs, key=lambda pair: pair[0].row)


def _matches(
    old: Sequence[_Line], new: Sequence[_Line], key: Callable[[_Line], Hashable], alone: bool = False
) -> Iterator[_Pair]:
    """Lines with an equal key that says something, in their order; with `alone`, where one line of each has it."""
    having: dict[Hashable, tuple[list[_Line], list[_Line]]] = defaultdict(lambda: ([], []))
    for side, lines in enumerate((old, new)):
        for line in lines:
            if common := key(line):
                having[common][side].append(line)
    for ours, theirs in having.values():
        if not alone or len(ours) == len(theirs) == 1:
            yield from zip(ours, theirs, strict=False)


def _rest(lines: Sequence[_Line], pairs: Sequence[_Pair], side: int) -> list[_Line]:
    """The lines of the older (`side` 0) or the newer table (1) that no pair has."""
    paired = {pair[side].row for pair in pairs}
    return [line for line in lines if line.row not in paired]


def _out_of_order(pairs: Sequence[_Pair]) -> set[int]:
    """Positions, in the newer table, of the rows that were moved; `pairs` are in the order of the older table.

    Where one row went elsewhere, all behind it have other positions, but only it was moved. So the rows that stayed
    are the most that stand in the same order in both tables (the longest increasing subsequence of the newer
    positions); the moved ones are the others.
    """
    ends: list[_Line] = []  # the last row of the sequence of each length that ends earliest in the newer table
    before: dict[int, _Line | None] = {}
    for _, line in pairs:
        length = bisect_left([end.row for end in ends], line.row)
        before[line.row] = ends[length - 1] if length else None
        ends[length:] = [line, *ends[length + 1 :]]
    stay = ends[-1] if ends else None
    moved = set(before)
    while stay:
        moved.remove(stay.row)
        stay = before[stay.row]
    return moved


def _plain(label: str) -> str:
    """'Taiwan (FORMOSA)' and 'Taiwan Formosa' → 'taiwanformosa'; 'Índia' → 'india'."""
    return "".join(sign for sign in unicodedata.normalize("NFKD", label) if sign.isalnum()).casefold()


@lru_cache(maxsize=65536)
def _value(text: str, shown_by: Table | None) -> Decimal | str:
    """What a cell means: a number, or its text; as a page of the table `shown_by` would show it, if one is given."""
    text = shown(text, shown_by) if shown_by else text
    value = amount(text)
    return text if value is None else value
