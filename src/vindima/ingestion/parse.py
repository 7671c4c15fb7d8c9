"""Bytes of a download or a page → rows of text. No network, and no numbers yet."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NoReturn

from bs4 import BeautifulSoup, Tag

from vindima.errors import VindimaError
from vindima.ingestion.catalogue import Table

NUMBER = re.compile(r"(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d+)?")
"""A number: `1234`, `1.234`, `1234,5`, `1.234,5`; a point groups thousands, a comma starts decimals."""

SEPARATORS = (";", "\t", ",")
LABEL_COLUMNS = ("produto", "cultivar", "país", "pais")
CONTROL_COLUMNS = ("control", "tipo")


@dataclass(frozen=True)
class Row:
    """One row of a table. `row` is its position from 1; `level` (item, subitem) is known from pages only."""

    row: int
    control: str | None
    label: str
    cells: list[str]
    level: str | None = None


def row_level(row: Row) -> str:
    """'item' for the row of a group, 'subitem' for one of its parts. Trade tables have no levels.

    A page says which. In a download a part's `control` starts with its group's two letters (`vm_Tinto`); without
    that column (production to 2022) a group is known by its capitals.
    """
    if row.level is not None:
        return row.level
    is_group = row.label.isupper() if row.control is None else not re.match(r"[a-z]{2}_", row.control)
    return "item" if is_group else "subitem"


@dataclass(frozen=True)
class Note:
    """What the source says beside a table about one year."""

    year: int
    text: str


@dataclass(frozen=True)
class RawTable:
    """A table as text. Each row has one cell a year, trade two (kg, US$), in the order of `years`.

    `source` is the site-relative address that the cells came from.
    """

    slug: str
    title: str
    unit: str
    years: list[int]
    rows: list[Row]
    source: str
    notes: list[Note] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """How a download is written: enough, with its records, to write the same bytes again."""

    encoding: str
    separator: str
    line_ending: str
    final_newline: bool
    header: list[str]
    records: list[list[str]]

    @property
    def has_control(self) -> bool:
        """True where the second column is the control name (production to 2022 has none)."""
        return _plain(self.header[1]) in CONTROL_COLUMNS

    @property
    def first_year_column(self) -> int:
        """Index of the first column that holds figures."""
        return 3 if self.has_control else 2


@dataclass(frozen=True)
class PageRow:
    """One row of a page's table; `level` is item, subitem or, for trade, None."""

    label: str
    level: str | None
    cells: list[str]


@dataclass(frozen=True)
class Page:
    """One page of the site: one table in one year. Runs of spaces are one space, as a browser shows them."""

    year: int
    title: str
    first_year: int
    last_year: int
    suboptions: list[tuple[str, str]]
    download: str
    headings: list[str]
    rows: list[PageRow]
    totals: list[str]
    source: str
    footnotes: list[str]


def read_layout(data: bytes, table: Table) -> Layout:
    """Split a download into header and records; the header's own content tells the separator.

    Raises VindimaError for an empty file, a page in place of a table, bytes that are not UTF-8, a header
    that is not understood, and a row of another width than the header.
    """
    where = f"{table.slug} ({table.download_path})"
    if not data.strip():
        raise VindimaError(f"{where}: expected a table, got an empty file")
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise VindimaError(f"{where}: expected a table, got an HTML page: {_excerpt(data)}")
    encoding = "utf-8-sig" if data.startswith(b"\xef\xbb\xbf") else "utf-8"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise VindimaError(f"{where}, line {line}: expected UTF-8, got the byte 0x{data[error.start]:02x}") from None
    first_line = text.split("\n", 1)[0].rstrip("\r")
    separator = max(SEPARATORS, key=first_line.count)
    try:
        header, *records = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    except csv.Error as error:
        raise VindimaError(f"{where}: the file cannot be split into rows: {error}") from None
    if len(header) < 3 or _plain(header[0]) != "id":
        raise VindimaError(f"{where}: expected a header that begins with `id` and names years, got {_excerpt(data)}")
    layout = Layout(
        encoding=encoding,
        separator=separator,
        line_ending="\r\n" if "\r\n" in text else "\n",
        final_newline=text.endswith("\n"),
        header=header,
        records=records,
    )
    label_column = header[layout.first_year_column - 1]
    if _plain(label_column) not in LABEL_COLUMNS:
        raise VindimaError(
            f"{where}: expected a column {', '.join(LABEL_COLUMNS[:3])} in the header, got {label_column!r}"
        )
    for position, record in enumerate(records, 1):
        if len(record) != len(header):
            label = record[layout.first_year_column - 1] if len(record) >= layout.first_year_column else ""
            raise VindimaError(
                f"{table.slug}, row {position} ({label.strip()}): expected {len(header)} columns, got {len(record)}"
            )
    if not records:
        raise VindimaError(f"{where}: expected rows below the header, got none")
    return layout


def read_download(data: bytes, table: Table) -> RawTable:
    """The download of `table` as rows of untouched text, labels with their stray spaces included.

    Raises VindimaError as `read_layout` does, and for years that do not follow each other.
    """
    return from_layout(read_layout(data, table), table)


def from_layout(layout: Layout, table: Table) -> RawTable:
    """The table that a download's layout holds; see `read_download`."""
    start = layout.first_year_column
    years, notes = _years(layout.header[start:], table)
    rows = [
        Row(
            row=position,
            control=record[1] if layout.has_control else None,
            label=record[start - 1],
            cells=record[start:],
        )
        for position, record in enumerate(layout.records, 1)
    ]
    return RawTable(table.slug, table.title_pt, table.unit, years, rows, table.download_path, notes)


def read_menu(data: bytes) -> list[tuple[str, str]]:
    """The option buttons of any page: [('opt_02', 'Produção'), …]. Raises VindimaError where it has none."""
    options = _buttons(_soup(data), "btn_opt")
    if not options:
        raise VindimaError(f"index.php: expected a page with the site's option buttons, got {_excerpt(data)}")
    return options


def read_submenu(data: bytes) -> list[tuple[str, str]]:
    """The sub-option buttons of an option's page: [('subopt_01', 'Viníferas'), …]; empty for none."""
    return _buttons(_soup(data), "btn_sopt")


def read_page(data: bytes, table: Table, year: int | None = None) -> Page:
    """The page of `table`: its year, year limits, sub-options, download link, rows, totals and footnotes.

    Raises VindimaError for a page without the data table, of another table, or of another year than asked.
    """
    where = f"{table.slug}{f' {year}' if year else ''} (index.php?{table.query})"
    soup = _soup(data)
    body = soup.select_one("table.tb_dados")
    if body is None:
        raise VindimaError(f"{where}: expected a page with a data table, got {_excerpt(data)}")
    title = re.fullmatch(r"(.*?) ?\[(\d{4})\]", _shown(soup.select_one("p.text_center"))) or _missing(
        where, "a title that ends with [year]", soup.select_one("p.text_center")
    )
    limits = re.search(r"\[(\d{4})-(\d{4})\]", _shown(soup.select_one("label.lbl_pesq"))) or _missing(
        where, "year limits such as [1970-2023]", soup.select_one("label.lbl_pesq")
    )
    links = [str(link["href"]) for link in soup.select("a.footer_content[href^='download/']")]
    if len(links) != 1:
        raise VindimaError(f"{where}: expected one download link, got {len(links)}")
    if title[1] != table.title_pt and links[0] != table.download_path:
        raise VindimaError(f"{where}: expected {table.title_pt!r}, got the page of {title[1]!r}")
    if year is not None and int(title[2]) != year:
        raise VindimaError(f"{where}: expected the page of {year}, got that of {title[2]}")
    headings = [_shown(heading) for heading in body.select("thead th")]
    width = 1 + len(table.measures)
    if len(headings) != width:
        raise VindimaError(f"{where}: expected {width} columns, got {len(headings)}: {', '.join(headings)}")
    records = [row.find_all("td") for row in body.select("tbody > tr")]
    totals = [_shown(cell) for cell in body.select("tfoot.tb_total td")]
    if not records:
        raise VindimaError(f"{where}: expected rows in the data table, got none")
    for position, record in enumerate(records, 1):
        if len(record) != width:
            raise VindimaError(f"{where}, row {position}: expected {width} cells, got {len(record)}")
    if len(totals) != width:
        raise VindimaError(f"{where}: expected a total of {width} cells, got {len(totals)}")
    source, footnotes = _footer(soup.select_one("div.tb_font"))
    return Page(
        year=int(title[2]),
        title=title[1],
        first_year=int(limits[1]),
        last_year=int(limits[2]),
        suboptions=_buttons(soup, "btn_sopt"),
        download=links[0],
        headings=headings,
        rows=[PageRow(_shown(label), _level(label), [_shown(cell) for cell in cells]) for label, *cells in records],
        totals=totals[1:],
        source=source,
        footnotes=footnotes,
    )


def aggregates(text: str) -> list[tuple[str, str]]:
    """'… [Uvas viníferas: 99.738.086; …: …]' → [('Uvas viníferas', '99.738.086'), …]; [] where none.

    Some figures of the source stand only in a footnote, in brackets (processing 2022, in kg).
    """
    bracket = re.search(r"\[([^\[\]:]+:[^\[\]]+)\]", text)
    parts = [part.partition(":") for part in bracket[1].split(";")] if bracket else []
    return [(label.strip(), figure.strip()) for label, _, figure in parts]


def _years(names: list[str], table: Table) -> tuple[list[int], list[Note]]:
    width = len(table.measures)
    where = f"{table.slug} ({table.download_path})"
    if not all(re.fullmatch(r"\d{4}", name.strip()) for name in names) or len(names) % width:
        odd = [name for name in names if not re.fullmatch(r"\d{4}", name.strip())]
        got = ", ".join(map(repr, odd[:3])) if odd else f"{len(names)} year columns"
        raise VindimaError(f"{where}: expected {'two columns' if width == 2 else 'one'} a year, got {got}")
    groups = [[int(name) for name in names[i : i + width]] for i in range(0, len(names), width)]
    years = [group[0] for group in groups]
    notes = []
    # ImpSuco to 2022 ends `…;2021;2021;2021;2021`: its last pair is 2022, as the next vintage shows.
    if len(years) > 1 and years[-1] == years[-2]:
        years[-1] += 1
        groups[-1] = [years[-1]] * width
        notes.append(Note(years[-1], f"the header says {years[-2]} twice; its last columns are {years[-1]}"))
    for group in groups:
        if len(set(group)) != 1:
            raise VindimaError(f"{where}: expected each year twice, got {group[0]} beside {group[1]}")
    for before, after in pairwise(years):
        if after != before + 1:
            raise VindimaError(f"{where}: expected {before + 1} after {before} in the header, got {after}")
    return years, notes


def _soup(data: bytes) -> BeautifulSoup:
    return BeautifulSoup(data, "lxml", from_encoding="utf-8")


def _shown(tag: Tag | None) -> str:
    """Text of an element as a browser shows it; '' where there is no such element."""
    return " ".join(tag.get_text().split()) if tag else ""


def _buttons(soup: BeautifulSoup, css_class: str) -> list[tuple[str, str]]:
    return [(str(button["value"]), _shown(button)) for button in soup.select(f"button.{css_class}[value]")]


def _level(cell: Tag) -> str | None:
    classes: Sequence[str] = cell.get("class") or []
    return next((name.removeprefix("tb_") for name in classes if name in ("tb_item", "tb_subitem")), None)


def _footer(footer: Tag | None) -> tuple[str, list[str]]:
    """The source line without its word `Fonte`, and the footnotes: all lines but source and author."""
    lines = [" ".join(line.split()) for line in footer.get_text("\n").split("\n")] if footer else []
    source = next((line for line in lines if line.startswith("Fonte:")), "")
    notes = [line for line in lines if line and not line.startswith(("Fonte:", "Elaboração:"))]
    return source.removeprefix("Fonte:").strip(), notes


def _missing(where: str, expected: str, tag: Tag | None) -> NoReturn:
    raise VindimaError(f"{where}: expected {expected}, got {_shown(tag)!r}")


def _plain(name: str) -> str:
    return name.strip().casefold()


def _excerpt(data: bytes) -> str:
    return repr(" ".join(data[:200].decode("utf-8", "replace").split())[:80])
