"""Bytes of a download or a page → rows of text. No network, and no numbers yet.

What a cell may hold is said here once (`amount`, `MARKS`), and so is how the site's pages show it (`shown`).
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, NoReturn

import ftfy
from bs4 import BeautifulSoup, SoupStrainer, Tag

from vindima.errors import VindimaError
from vindima.ingestion.catalogue import Table
from vindima.ingestion.reply import WrongReply

NUMBER = re.compile(r"(?:[0-9]{1,3}(?:\.[0-9]{3})+|[0-9]+)(?:,[0-9]+)?")
"""A number: `1234`, `1.234`, `1234,5`, `1.234,5`; a point groups thousands, a comma starts decimals."""

MARKS = ("", "nd", "*", "+", "-")
"""What the source prints where it prints no number; `-` on pages, for zero and for all that they do not show."""

CELL = "a number like 1234, 1.234 or 1.234,5 or one of nd * + - and blank"
"""What a cell is expected to be, in words."""

YEAR = re.compile(r"[0-9]{4}")

SHOWS_WITHHELD = ("processing_american_hybrid", "processing_unclassified")

ID_COLUMN = "id"
LABEL_COLUMNS = ("produto", "cultivar", "pais")
CONTROL_COLUMNS = ("control", "tipo")

LINE_SEPARATOR = "\u2028"
SOUGHT = SoupStrainer(class_=re.compile("btn_opt|btn_sopt|footer_content|lbl_pesq|tb_dados|tb_font|text_center"))
"""The elements of a page that are read; all others are left out of its tree."""

TITLE = re.compile(r"(.*?) ?\[([0-9]{4})\]")
LIMITS = re.compile(r"\[([0-9]{4})-([0-9]{4})\]")


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

    `source` is the site-relative address that the cells came from, `notes` what the source says in footnotes,
    `remarks` what was remarkable about the reading (not kept in the raw zone's tables).
    """

    slug: str
    title: str
    unit: str
    years: list[int]
    rows: list[Row]
    source: str
    notes: list[Note] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """How a download is written: enough, with its records, to write the same bytes again."""

    encoding: str
    separator: str
    line_ending: str
    final_newline: bool
    header: list[str]
    records: list[list[str]]


@dataclass(frozen=True)
class Columns:
    """Which field of a record holds what, by its index from 0.

    `cells` are in the order of `years`, for trade kilograms before dollars. `remarks` tell what no known name
    explains.
    """

    id: int | None
    control: int | None
    label: int
    years: list[int]
    cells: list[int]
    remarks: list[str]

    @property
    def known(self) -> set[int]:
        """The indices of all that is named here."""
        return {self.label, *self.cells, *(index for index in (self.id, self.control) if index is not None)}


class PageRow(NamedTuple):
    """One row of a page's table; `level` is item, subitem or, for trade, None."""

    label: str
    level: str | None
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """One page of the site: one table in one year. Runs of spaces are one space, as a browser shows them.

    `download` is None where the page has no link to one; `remarks` are as in `RawTable`.
    """

    year: int
    title: str
    first_year: int
    last_year: int
    suboptions: list[tuple[str, str]]
    download: str | None
    headings: list[str]
    rows: list[PageRow]
    totals: list[str]
    source: str
    footnotes: list[str]
    remarks: list[str] = field(default_factory=list)


def amount(text: str) -> Decimal | None:
    """'124.233.465,78' → 124233465.78; None for what is no number of the source."""
    return Decimal(text.replace(".", "").replace(",", ".")) if NUMBER.fullmatch(text) else None


def grouped(value: Decimal) -> str:
    """1234567.5 → '1.234.568': rounded, halves up."""
    return f"{value.quantize(Decimal(1), ROUND_HALF_UP):,}".replace(",", ".")


def shown(cell: str, table: Table) -> str:
    """A published cell as the site's pages show it: '1234567' → '1.234.567', '0' → '-', 'nd' → 'nd'.

    A withheld `*` is shown for American and unclassified grapes only, a marked `+` nowhere (pages of 2022).
    """
    text = cell.strip()
    value = amount(text)
    if value is not None:
        return grouped(value) if value else "-"
    if text in ("", "+") or (text == "*" and table.slug not in SHOWS_WITHHELD):
        return "-"
    return text


def place(raw: RawTable, row: Row, year: int) -> str:
    """Where a cell stands, in words: 'imports_table_wine 1997, row 12 (Chile)'."""
    return f"{raw.slug} {year}, row {row.row} ({row.label.strip()})"


def check_cells(raw: RawTable) -> None:
    """Raises VindimaError that names the first cell of `raw` that is neither a number nor a mark of the source."""
    for row in raw.rows:
        for index, cell in enumerate(row.cells):
            text = cell.strip()
            if text not in MARKS and not NUMBER.fullmatch(text):
                year = raw.years[index * len(raw.years) // len(row.cells)]
                raise VindimaError(f"{place(raw, row, year)}: expected {CELL}, got {text!r}")


def read_layout(data: bytes, table: Table) -> Layout:
    """Split a download into header and records; the header's own content tells the separator.

    The separator is whatever single character stands before the first year. Blank lines are left out.
    Raises WrongReply for an empty file, for a page or words in place of a table, and for a file that was cut
    off; VindimaError for a header that is not understood, and a row of another width than the header.
    """
    where = _where(table)
    if not data.strip():
        raise WrongReply(f"{where}: expected a table, got an empty file")
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise WrongReply(f"{where}: expected a table, got an HTML page: {_excerpt(data)}")
    text, encoding = _decode(data)
    first_line = re.split(r"[\r\n]+", text.lstrip("\r\n"), maxsplit=1)[0]
    # `"Id";"País"; " 1970"`: between a separator and a year may stand spaces and quotation marks.
    before_year = re.search(r"(?:([^\w\"' ])[\"' ]*|( ))[0-9]{4}(?![0-9])", first_line)
    separator = (before_year[1] or before_year[2]) if before_year else ";"
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except (csv.Error, TypeError, ValueError) as error:
        unfinished = "unexpected end of data" in str(error)
        raise (WrongReply if unfinished else VindimaError)(
            f"{where}: the file cannot be split into rows: {error}"
        ) from None
    header, *records = [line for line in lines if any(name.strip() for name in line)] or [[]]
    if not any(YEAR.fullmatch(name.strip()) for name in header):
        raise WrongReply(f"{where}: expected a table whose header names years, got {_excerpt(data)}")
    if not records:
        raise WrongReply(f"{where}: expected rows below the header, got none")
    columns = read_columns(header, table)
    width = 1 + max(columns.known)
    for position, record in enumerate(records, 1):
        surplus = record[len(header) :]
        if len(record) >= width and not any(name.strip() for name in surplus):
            continue
        label = record[columns.label].strip() if len(record) > columns.label else ""
        words = f"{table.slug}, row {position} ({label}): expected {len(header)} columns, got {len(record)}"
        if position == len(records) and len(record) < width:
            raise WrongReply(f"{words}: the file ends in the middle of its last row")
        raise VindimaError(words)
    return Layout(
        encoding=encoding,
        separator=separator,
        line_ending="\r\n" if "\r\n" in text else "\n" if "\n" in text else "\r",
        final_newline=text.endswith(("\n", "\r")),
        header=header,
        records=records,
    )


def read_columns(header: Sequence[str], table: Table) -> Columns:
    """What the columns of a download hold, by their names, in any order and case.

    Raises VindimaError where the one column of labels is not to be told, and for years that are not there once
    (trade: twice) each and one after the other.
    """
    names = [_plain(name) for name in header]
    labels = [index for index, name in enumerate(names) if name in LABEL_COLUMNS]
    if len(labels) != 1:
        got = ", ".join(repr(name) for name in header if not YEAR.fullmatch(name.strip()))
        raise VindimaError(f"{_where(table)}: expected one column produto, cultivar or país in the header, got {got}")
    id_column = names.index(ID_COLUMN) if ID_COLUMN in names else None
    control = next((names.index(name) for name in CONTROL_COLUMNS if name in names), None)
    dated = [(index, int(name)) for index, name in enumerate(names) if YEAR.fullmatch(name)]
    years, cells, remarks = _years(dated, table)
    columns = Columns(id_column, control, labels[0], years, cells, remarks)
    unknown = [repr(name) for index, name in enumerate(header) if index not in columns.known]
    if unknown:
        remarks.append(f"columns that no known name explains are left out: {', '.join(unknown)}")
    return columns


def read_download(data: bytes, table: Table) -> RawTable:
    """The download of `table` as rows of untouched text, labels with their stray spaces included.

    Text that was encoded twice is repaired, and `remarks` says so. Raises as `read_layout` does.
    """
    return from_layout(read_layout(data, table), table)


def from_layout(layout: Layout, table: Table) -> RawTable:
    """The table that a download's layout holds; see `read_download`."""
    columns = read_columns(layout.header, table)
    rows = [
        Row(
            row=position,
            control=None if columns.control is None else repaired(record[columns.control]),
            label=repaired(record[columns.label]),
            cells=[record[index] for index in columns.cells],
        )
        for position, record in enumerate(layout.records, 1)
    ]
    words = [*layout.header, *(record[columns.label] for record in layout.records)]
    remarks = [*_remarks(layout.encoding, words), *columns.remarks]
    return RawTable(table.slug, table.title_pt, table.unit, columns.years, rows, table.download_path, remarks=remarks)


@lru_cache(maxsize=4096)
def repaired(text: str) -> str:
    """'ItÃ¡lia' → 'Itália': text whose UTF-8 was read as Latin-1 or cp1252 and encoded again, as it was before."""
    return ftfy.fix_encoding(text) if re.search("[ÂÃâ]", text) else text


def read_menu(data: bytes) -> list[tuple[str, str]]:
    """The option buttons of any page: [('opt_02', 'Produção'), …].

    Raises WrongReply for what is not a whole page of the site.
    """
    return _menu(data, "btn_opt")


def read_submenu(data: bytes) -> list[tuple[str, str]]:
    """The sub-option buttons of an option's page: [('subopt_01', 'Viníferas'), …]; empty for none.

    Raises WrongReply for what is not a whole page of the site.
    """
    return _menu(data, "btn_sopt")


def read_page(data: bytes, table: Table, year: int | None = None) -> Page:
    """The page of `table`: its year, year limits, sub-options, download link, rows, totals and footnotes.

    Raises WrongReply for a page without the data table or without rows in it, one that was cut off, and one of
    another table or of another year than asked; VindimaError for a page that is not understood.
    """
    where = f"{table.slug}{f' {year}' if year else ''} (index.php?{table.query})"
    soup, remarks = _soup(data)
    table_tag = soup.find(class_="tb_dados")
    if table_tag is None:
        raise WrongReply(f"{where}: expected a page with a data table, got {_excerpt(data)}")
    if not _ends(data):
        raise WrongReply(f"{where}: expected a page that ends with </html>, got one that ends {_excerpt(data[-80:])}")
    title_line, limits_line = _first_text(soup, "text_center"), _first_text(soup, "lbl_pesq")
    title = TITLE.fullmatch(title_line) or _missing(where, "a title that ends with [year]", title_line)
    limits = LIMITS.search(limits_line) or _missing(where, "year limits such as [1970-2023]", limits_line)
    addresses = [str(link.get("href")) for link in soup.find_all(class_="footer_content")]
    downloads = [address for address in addresses if address.startswith("download/")]
    if table.download_path not in downloads and _plain(title[1]) != _plain(table.title_pt):
        raise WrongReply(f"{where}: expected {table.title_pt!r}, got the page of {title[1]!r}")
    if year is not None and int(title[2]) != year:
        raise WrongReply(f"{where}: expected the page of {year}, got that of {title[2]}")
    width = 1 + len(table.measures)
    headings = [_text(heading) for head in _children(table_tag, "thead") for heading in head.find_all("th")]
    if len(headings) != width:
        raise VindimaError(f"{where}: expected {width} columns, got {len(headings)}: {', '.join(headings)}")
    rows = []
    lines = [line for body in _children(table_tag, "tbody") for line in _children(body, "tr")]
    for position, line in enumerate(lines, 1):
        cells = _children(line, "td", "th")
        if len(cells) != width:
            raise VindimaError(f"{where}, row {position}: expected {width} cells, got {len(cells)}")
        label, *figures = map(_text, cells)
        rows.append(PageRow(label, None if table.is_trade else _level(cells[0]), tuple(figures)))
    if not rows:
        raise WrongReply(f"{where}: expected rows in the data table, got none")
    totals = [_text(cell) for foot in _children(table_tag, "tfoot") for cell in foot.find_all("td")]
    if len(totals) != width:
        raise VindimaError(f"{where}: expected a total of {width} cells, got {len(totals)}")
    source, footnotes = _footer(soup)
    return Page(
        year=int(title[2]),
        title=title[1],
        first_year=int(limits[1]),
        last_year=int(limits[2]),
        suboptions=_buttons(soup, "btn_sopt"),
        download=table.download_path if table.download_path in downloads else next(iter(downloads), None),
        headings=headings,
        rows=rows,
        totals=totals[1:],
        source=source,
        footnotes=footnotes,
        remarks=remarks,
    )


def aggregates(text: str) -> list[tuple[str, str]]:
    """'… [Uvas viníferas: 99.738.086; …: …]' → [('Uvas viníferas', '99.738.086'), …]; [] where none.

    Some figures of the source stand only in a footnote, in brackets (processing 2022, in kg).
    """
    bracket = re.search(r"\[([^\[\]:]+:[^\[\]]+)\]", text)
    parts = [part.partition(":") for part in bracket[1].split(";")] if bracket else []
    return [(label.strip(), figure.strip()) for label, _, figure in parts]


def _years(dated: Sequence[tuple[int, int]], table: Table) -> tuple[list[int], list[int], list[str]]:
    """Years in their order, the indices of their columns, and remarks; from (index, year) as the header has them."""
    width = len(table.measures)
    if not dated or len(dated) % width:
        expected = "two columns" if width == 2 else "a column"
        raise VindimaError(f"{_where(table)}: expected {expected} for each year, got {len(dated)} columns of years")
    groups = [dated[start : start + width] for start in range(0, len(dated), width)]
    named = [[year for _, year in group] for group in groups]
    remarks = []
    # ImpSuco to 2022 ends `…;2021;2021;2021;2021`: its last pair is 2022, as the next vintage shows.
    if len(named) > 1 and named[-1] == named[-2]:
        last = named[-1][0]
        named[-1] = [last + 1] * width
        remarks.append(f"the header names {last} once too often: its last columns are read as {last + 1}")
    for names in named:
        if len(set(names)) != 1:
            raise VindimaError(f"{_where(table)}: expected each year twice, got {names[0]} beside {names[1]}")
    ordered = sorted((names[0], [index for index, _ in group]) for names, group in zip(named, groups, strict=True))
    for (before, _), (after, _) in pairwise(ordered):
        if after != before + 1:
            raise VindimaError(f"{_where(table)}: expected {before + 1} after {before} in the header, got {after}")
    return [year for year, _ in ordered], [index for _, indices in ordered for index in indices], remarks


def _decode(data: bytes) -> tuple[str, str]:
    """The text of `data` and its encoding: UTF-8 with or without a byte order mark, else cp1252, else Latin-1.

    UTF-8 that ends in the middle of a letter is UTF-8 that was cut off.
    """
    encoding = "utf-8-sig" if data.startswith(b"\xef\xbb\xbf") else "utf-8"
    try:
        return data.decode(encoding), encoding
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            return data.decode(encoding, "ignore"), encoding
    try:
        return data.decode("cp1252"), "cp1252"
    except UnicodeDecodeError:
        return data.decode("latin-1"), "latin-1"


def _remarks(encoding: str, texts: Iterable[str]) -> list[str]:
    """What there is to say of the encoding of texts."""
    remarks = [] if encoding.startswith("utf-8") else [f"the bytes are not UTF-8: read as {encoding}"]
    damaged = [text.strip() for text in texts if repaired(text) != text]
    if damaged:
        example = f"{damaged[0]!r} is read as {repaired(damaged[0])!r}"
        remarks.append(f"text that was encoded twice is repaired ({len(damaged)} times): {example}")
    return remarks


def _soup(data: bytes) -> tuple[BeautifulSoup, list[str]]:
    """The elements of a page that are sought, its text repaired, and remarks on its encoding."""
    text, encoding = _decode(data)
    lines = text.splitlines(keepends=True)
    # Behind a line break, what looks like XML or the name of a file is read without a warning.
    return BeautifulSoup("\n" + "".join(map(repaired, lines)), "lxml", parse_only=SOUGHT), _remarks(encoding, lines)


def _menu(data: bytes, name: str) -> list[tuple[str, str]]:
    """The buttons of class `name` on a whole page of the site."""
    soup, _ = _soup(data)
    if not soup.find(class_="btn_opt") or not _ends(data):
        raise WrongReply(f"index.php: expected a page with the site's option buttons, got {_excerpt(data)}")
    return _buttons(soup, name)


def _ends(data: bytes) -> bool:
    """True for a page that was not cut off."""
    return b"</html>" in data[-200:].lower() or b"</html>" in data.lower()


def _children(tag: Tag, *names: str) -> list[Tag]:
    return tag.find_all(names, recursive=False)


def _text(tag: Tag) -> str:
    """Text of an element as a browser shows it."""
    return " ".join(tag.get_text().split())


def _first_text(soup: BeautifulSoup, name: str) -> str:
    tag = soup.find(class_=name)
    return _text(tag) if tag else ""


def _buttons(soup: BeautifulSoup, name: str) -> list[tuple[str, str]]:
    return [(str(button["value"]), _text(button)) for button in soup.find_all(class_=name) if button.get("value")]


def _level(label: Tag) -> str | None:
    """'item' for a label of class `tb_item`."""
    names = label.get_attribute_list("class")
    return next((level for level in ("item", "subitem") if f"tb_{level}" in names), None)


def _footer(soup: BeautifulSoup) -> tuple[str, list[str]]:
    """The source line without its word `Fonte`, and the footnotes: all lines but source and author."""
    footer = soup.find(class_="tb_font")
    if footer is None:
        return "", []
    for line_break in footer.find_all("br"):
        line_break.replace_with(LINE_SEPARATOR)
    lines = [" ".join(line.split()) for line in footer.get_text().split(LINE_SEPARATOR)]
    source = next((line for line in lines if line.startswith("Fonte:")), "")
    notes = [line for line in lines if line and not line.startswith(("Fonte:", "Elaboração:"))]
    return source.removeprefix("Fonte:").strip(), notes


def _missing(where: str, expected: str, got: str) -> NoReturn:
    raise VindimaError(f"{where}: expected {expected}, got {got!r}")


def _where(table: Table) -> str:
    return f"{table.slug} ({table.download_path})"


@lru_cache(maxsize=256)
def _plain(name: str) -> str:
    """A name without accents, capitals, stray spaces and byte order mark: ' País' → 'pais'."""
    letters = unicodedata.normalize("NFKD", repaired(name))
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).strip(" \t\ufeff").casefold()


def _excerpt(data: bytes) -> str:
    return repr(" ".join(data[:200].decode("utf-8", "replace").split())[:80])
