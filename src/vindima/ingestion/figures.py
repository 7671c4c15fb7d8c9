"""The project's own table of the published figures: text that Git can hold, compare and give back.

`write` makes it from any raw zone of downloads, `read` gives it back, and `download` writes the bytes
of each download again. `history` tells what changed from one bundled vintage to the next.
data/figures/README.md tells what the columns are.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from vindima import files
from vindima.errors import VindimaError
from vindima.ingestion import parse, raw_zone, revisions
from vindima.ingestion.catalogue import TABLES
from vindima.ingestion.parse import Columns, Layout, RawTable

CELLS, DESCRIPTIONS, FOOTNOTES, HISTORY = "cells.csv", "tables.csv", "footnotes.csv", "revisions.csv"
DESCRIPTION_COLUMNS = (
    "table", "download", "title", "unit", "first_year", "last_year", "rows", "retrieved_on",
    "encoding", "separator", "line_ending", "final_newline", "header",
)  # fmt: skip
FOOTNOTE_COLUMNS = ("table", "year", "label", "figure")
CELL_COLUMNS = ("table", "row", "id", "control", "label", "measure")  # then, perhaps, `other`, and the years
SEPARATOR_NAMES = {";": "semicolon", "\t": "tab", ",": "comma"}  # any other stands for itself
LINE_ENDING_NAMES = {"\n": "LF", "\r\n": "CRLF", "\r": "CR"}
ENCODINGS = ("utf-8", "utf-8-sig", "cp1252", "latin-1")
YEAR = r"[12]\d{3}"


@dataclass(frozen=True)
class BundledTable:
    """One table as bundled: what it says, how its download was written, and when it was retrieved."""

    table: RawTable
    layout: Layout
    retrieved_on: str


@dataclass(frozen=True)
class FootnoteFigure:
    """A figure (kg) that only a footnote of `table`'s page of `year` gives, as text."""

    table: str
    year: int
    label: str
    figure: str


@dataclass(frozen=True)
class Bundled:
    """The vintage that data/figures holds."""

    tables: dict[str, BundledTable]
    footnotes: list[FootnoteFigure]

    @property
    def retrieved_on(self) -> str:
        """Day of the newest download, as in '2025-01-19'."""
        return max(bundled.retrieved_on for bundled in self.tables.values())

    @property
    def raw_tables(self) -> dict[str, RawTable]:
        """What the tables say, without how it was written."""
        return {slug: bundled.table for slug, bundled in self.tables.items()}


def write(raw_dir: Path, figures_dir: Path) -> None:
    """Make `figures_dir` from the raw zone of downloads in `raw_dir`; writes all or nothing.

    Where `figures_dir` held a vintage before, what changed since then is added to its history; where it held none,
    the history is that of the raw zone's manifest.

    Raises VindimaError for a raw zone made of pages (they hold rounded figures), for a download that is
    not in it, and for one that could not be given back byte for byte; and for damaged figures in `figures_dir`.
    """
    manifest, raw_tables = raw_zone.read(raw_dir)
    downloads = {file["slug"]: file for file in manifest["files"] if file["method"] == "csv"}
    bundled: dict[str, BundledTable] = {}
    footnotes = []
    for slug, table in TABLES.items():
        if slug not in downloads:
            raise VindimaError(
                f"{slug}: expected a raw zone with its download, got none; collect with the method csv"
            )
        name = raw_zone.file_name(downloads[slug]["address"])
        data = (raw_dir / "files" / name).read_bytes()
        layout = parse.read_layout(data, table)
        retrieved_on = downloads[slug]["retrieved_at"][:10]
        bundled[slug] = BundledTable(parse.from_layout(layout, table), layout, retrieved_on)
        if download(bundled[slug]) != data:
            raise VindimaError(f"{slug}: {name} is written in a way that cannot be given back byte for byte")
        footnotes += [
            FootnoteFigure(slug, note.year, label, figure)
            for note in raw_tables[slug].notes
            for label, figure in parse.aggregates(note.text)
        ]
    recorded = manifest.get("revisions", [])  # a manifest of before they were recorded has none
    if (figures_dir / DESCRIPTIONS).is_file():
        old, new = read(figures_dir), Bundled(bundled, footnotes)
        changes = revisions.compare(old.raw_tables, new.raw_tables)
        recorded = history(figures_dir) + revisions.record(changes, old.retrieved_on, new.retrieved_on)
    save(Bundled(bundled, footnotes), recorded, figures_dir)


def save(bundled: Bundled, recorded: Iterable[Mapping[str, Any]], figures_dir: Path) -> None:
    """Write a vintage, with the `recorded` history of what changed before it, to `figures_dir`; all or nothing."""
    footnotes = [[note.table, note.year, note.label, note.figure] for note in bundled.footnotes]
    tables: dict[str, Iterable[Iterable[object]]] = {
        HISTORY: [revisions.COLUMNS, *(line.values() for line in recorded)],
        DESCRIPTIONS: _description_lines(bundled.tables),
        CELLS: _cell_lines(bundled.tables),
        FOOTNOTES: [FOOTNOTE_COLUMNS, *footnotes],
    }
    files.write_all({figures_dir / name: files.csv_text(lines) for name, lines in tables.items()})


def read(figures_dir: Path) -> Bundled:
    """The published figures in `figures_dir`. Raises VindimaError where a part is missing or inconsistent."""
    descriptions = read_descriptions(figures_dir)
    lines = files.read_csv(figures_dir / CELLS, CELL_COLUMNS, others=True)
    cells = {slug: list(group) for slug, group in groupby(lines, key=lambda line: line["table"])}
    tables = {}
    if odd := [slug for slug in cells if slug not in TABLES]:
        raise VindimaError(f"{figures_dir / CELLS}: expected a table of the catalogue, got {odd[0]!r}")
    for description in descriptions:
        slug = description["table"]
        layout = _layout(description, cells.get(slug, []), figures_dir)
        tables[slug] = BundledTable(parse.from_layout(layout, TABLES[slug]), layout, description["retrieved_on"])
    footnotes = []
    for line in files.read_csv(figures_dir / FOOTNOTES, FOOTNOTE_COLUMNS):
        if line["table"] not in TABLES or not re.fullmatch(YEAR, line["year"]):
            raise VindimaError(
                f"{figures_dir / FOOTNOTES}: expected a table of the catalogue and a year, "
                f"got {line['table']!r} and {line['year']!r}"
            )
        footnotes.append(FootnoteFigure(line["table"], int(line["year"]), line["label"], line["figure"]))
    return Bundled(tables, footnotes)


def read_descriptions(figures_dir: Path) -> list[dict[str, str]]:
    """The lines of tables.csv by column name, one for each table of the catalogue.

    Raises VindimaError for a missing table, one that is unknown or stands twice, and what no download is.
    """
    path = figures_dir / DESCRIPTIONS
    lines = files.read_csv(path, DESCRIPTION_COLUMNS)
    for line in lines:
        if line["table"] not in TABLES:
            raise VindimaError(f"{path}: expected a table of the catalogue, got {line['table']!r}")
        for column, (expected, fits) in _DESCRIBED.items():
            if not fits(line[column]):
                raise VindimaError(f"{path}, {line['table']}: expected {expected} in {column}, got {line[column]!r}")
    named = [line["table"] for line in lines]
    if missing := sorted(TABLES.keys() - set(named)):
        raise VindimaError(f"{path}: expected all tables, got none for {', '.join(missing)}")
    if len(named) > len(TABLES):
        raise VindimaError(f"{path}: expected one line for each table, got {len(named)} for {len(TABLES)}")
    return lines


def history(figures_dir: Path) -> list[dict[str, Any]]:
    """What changed between the vintages that were bundled one after the other, as `revisions.record` gives it.

    None where there is no file of it. Raises VindimaError for a damaged one.
    """
    path = figures_dir / HISTORY
    lines = files.read_csv(path, revisions.COLUMNS) if path.exists() else []
    return [_recorded(path, number, line) for number, line in enumerate(lines, 2)]


def download(bundled: BundledTable) -> bytes:
    """The bytes of the table's download, as they were published."""
    layout = bundled.layout
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=layout.separator, lineterminator=layout.line_ending)
    writer.writerows([layout.header, *layout.records])
    content = text.getvalue() if layout.final_newline else text.getvalue().removesuffix(layout.line_ending)
    return content.encode(layout.encoding)


_DESCRIBED: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "first_year": ("a year", re.compile(YEAR).fullmatch),
    "last_year": ("a year", re.compile(YEAR).fullmatch),
    "rows": ("a whole number", str.isdecimal),
    "retrieved_on": ("a day such as 2025-01-19", re.compile(YEAR + r"-\d\d-\d\d").fullmatch),
    "encoding": (" or ".join(ENCODINGS), ENCODINGS.__contains__),
    "separator": (
        "semicolon, tab, comma or one sign",
        lambda text: text in SEPARATOR_NAMES.values() or len(text) == 1,
    ),
    "line_ending": ("LF, CRLF or CR", lambda text: text in LINE_ENDING_NAMES.values()),
    "final_newline": ("yes or no", ("yes", "no").__contains__),
}
"""Column of tables.csv → what is expected in it, and whether a text is that."""


def _description_lines(bundled: Mapping[str, BundledTable]) -> Iterable[list[object]]:
    yield list(DESCRIPTION_COLUMNS)
    for slug, item in bundled.items():
        table, layout = item.table, item.layout
        yield [
            slug, TABLES[slug].download_path, table.title, table.unit, table.years[0], table.years[-1],
            len(table.rows), item.retrieved_on, layout.encoding,
            SEPARATOR_NAMES.get(layout.separator, layout.separator),
            LINE_ENDING_NAMES[layout.line_ending], "yes" if layout.final_newline else "no",
            _joined(layout.header, layout.separator),
        ]  # fmt: skip


def _cell_lines(bundled: Mapping[str, BundledTable]) -> Iterable[list[object]]:
    """One line for each row and measure, one column for each year that any table has.

    A column `other` is there only where some download has fields that no known column explains.
    """
    every_year = sorted({year for item in bundled.values() for year in item.table.years})
    columns = {slug: parse.read_columns(item.layout.header, TABLES[slug]) for slug, item in bundled.items()}
    others = {
        slug: [_other(record, columns[slug]) for record in item.layout.records] for slug, item in bundled.items()
    }
    with_other = any(any(other) for other in others.values())
    yield [*CELL_COLUMNS, *(["other"] if with_other else []), *every_year]
    for slug, item in bundled.items():
        named, measures = columns[slug], TABLES[slug].measures
        for row, (record, other) in enumerate(zip(item.layout.records, others[slug], strict=True), 1):
            keys = ["" if index is None else record[index] for index in (named.id, named.control, named.label)]
            for offset, measure in enumerate(measures):
                published = [record[index] for index in named.cells[offset :: len(measures)]]
                cells = dict(zip(named.years, published, strict=True))
                beside = [other] if with_other else []
                yield [slug, row, *keys, measure, *beside, *(cells.get(year, "") for year in every_year)]


def _layout(description: Mapping[str, str], lines: list[dict[str, str]], figures_dir: Path) -> Layout:
    """The layout of one download, rebuilt from its line in tables.csv and its lines in cells.csv."""
    table = TABLES[description["table"]]
    where = f"{figures_dir / CELLS}, {table.slug}"
    separators = {name: sign for sign, name in SEPARATOR_NAMES.items()}
    separator = separators.get(description["separator"], description["separator"])
    header = _split(description["header"], separator)
    columns = parse.read_columns(header, table)
    records: list[list[str]] = []
    width = len(table.measures)
    for start in range(0, len(lines), width):
        group = lines[start : start + width]
        first = group[0]
        if [line["measure"] for line in group] != list(table.measures):
            raise VindimaError(f"{where}, row {first['row']}: expected a line for {' and '.join(table.measures)}")
        if first["row"] != str(len(records) + 1):
            raise VindimaError(f"{where}: expected row {len(records) + 1}, got {first['row']}")
        if odd := [year for year in columns.years if str(year) not in first]:
            raise VindimaError(f"{where}: expected a column {odd[0]}, as in the header of {DESCRIPTIONS}, got none")
        cells = [line[str(year)] for year in columns.years for line in group]
        named = {columns.id: first["id"], columns.control: first["control"], columns.label: first["label"]}
        fields = {index: field for index, field in named.items() if index is not None}
        fields |= dict(zip(columns.cells, cells, strict=True))
        other = _split(first.get("other", ""), ",")
        places = [index for index in range(len(fields) + len(other)) if index not in fields]
        fields |= dict(zip(places, other, strict=True))
        records.append([fields[index] for index in sorted(fields)])
    if str(len(records)) != description["rows"]:
        raise VindimaError(f"{where}: expected {description['rows']} rows, got {len(records)}")
    return Layout(
        encoding=description["encoding"],
        separator=separator,
        line_ending={name: sign for sign, name in LINE_ENDING_NAMES.items()}[description["line_ending"]],
        final_newline=description["final_newline"] == "yes",
        header=header,
        records=records,
    )


def _other(record: Sequence[str], columns: Columns) -> str:
    """The fields of a record that no known column explains, as one text; '' for none."""
    return _joined([field for index, field in enumerate(record) if index not in columns.known], ",")


def _joined(fields: Sequence[str], separator: str) -> str:
    """['a', 'b;c'], ';' → 'a;"b;c"'."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, lineterminator="").writerow(fields)
    return text.getvalue()


def _split(text: str, separator: str) -> list[str]:
    """'a;"b;c"', ';' → ['a', 'b;c']; [] for ''."""
    return next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])


def _recorded(path: Path, number: int, line: dict[str, str]) -> dict[str, Any]:
    """A line of the history as it was recorded: numbers as such, None for what says nothing of its kind."""
    numbers = [field for name in ("row", "year") if (field := line.get(name))]
    if line["kind"] not in revisions.KINDS or not all(field.isdecimal() for field in numbers):
        raise VindimaError(f"{path}, line {number}: expected a revision, got {','.join(line.values())}")
    texts = ("before", "after") if line["kind"] == "cell_changed" else ()  # a cell may be blank
    return {
        name: field if name in texts else int(field) if field and name in ("row", "year") else field or None
        for name, field in line.items()
    }
