import csv
import io
import re
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import ftfy
import lxml.html
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tests.test_mirror import saved_pages
from vindima.errors import VindimaError
from vindima.ingestion import parse
from vindima.ingestion.catalogue import TABLES, Table
from vindima.ingestion.parse import Page, RawTable, Row
from vindima.ingestion.reply import WrongReply

PAGES = Path(__file__).parent / "pages"
IMPORTS = TABLES["imports_table_wine"]
GRAPES = TABLES["processing_american_hybrid"]
PRODUCTION = TABLES["production"]
TRADE = (PAGES / "trade.csv").read_bytes()
TRADE_PAGE = (PAGES / "trade.html").read_bytes()
BY_DOWNLOAD = {table.download: table for table in TABLES.values()}

same_every_time = settings(derandomize=True, deadline=None, database=None)


def text_of(table: RawTable) -> tuple[list[int], list[Row]]:
    """What a download says, without how it was read."""
    return table.years, table.rows


def test_trade_has_kilograms_and_dollars_for_each_year_in_order():
    table = parse.read_download(TRADE, IMPORTS)
    assert table.years == [2000, 2001]
    assert [row.row for row in table.rows] == [1, 2, 3]
    assert table.rows[1].cells == ["1200", "3400", "", "nd"]
    assert (table.slug, table.unit, table.source) == (
        "imports_table_wine",
        "kg; US$ FOB",
        "download/ImpVinhos.csv",
    )
    assert table.remarks == []


def test_labels_and_cells_stay_untouched():
    assert parse.read_download(TRADE, IMPORTS).rows[1].label == " Chile "
    table = parse.read_download((PAGES / "processing.csv").read_bytes(), GRAPES)
    assert [row.label for row in table.rows] == ["TINTAS", "  Bailey", "BRANCAS E ROSADAS"]
    assert [row.cells for row in table.rows] == [["10", "*"], ["7,5", "+"], ["nd", "*"]]


def test_an_empty_control_is_not_an_absent_one():
    table = parse.read_download((PAGES / "processing.csv").read_bytes(), GRAPES)
    assert [row.control for row in table.rows] == ["TINTAS", "ti_Bailey", ""]
    table = parse.read_download((PAGES / "production_without_control.csv").read_bytes(), PRODUCTION)
    assert [row.control for row in table.rows] == [None, None]
    assert [row.label for row in table.rows] == ["VINHO DE MESA", "Tinto"]


def test_tipo_is_the_control_by_another_name():
    table = parse.read_download((PAGES / "production_with_tipo.csv").read_bytes(), PRODUCTION)
    assert [(row.control, parse.row_level(row)) for row in table.rows] == [
        ("VINHO DE MESA", "item"),
        ("vm_Tinto", "subitem"),
    ]
    assert [parse.amount(row.cells[0]) for row in table.rows] == [Decimal("124233465.78")] * 2


@pytest.mark.parametrize("separator", ["\t", ",", "|", ":", "~", "§", "^", "#"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_the_header_tells_the_separator(separator, quoting):
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, quoting=quoting)
    writer.writerows(csv.reader(io.StringIO(TRADE.decode()), delimiter=";"))
    assert parse.read_download(text.getvalue().encode(), IMPORTS) == parse.read_download(TRADE, IMPORTS)


def test_a_separator_in_a_quoted_label_is_part_of_the_label():
    commas = TRADE.replace(b";", b",").replace(b" Chile ", b'"Chile, Rep"')
    assert parse.read_download(commas, IMPORTS).rows[1].label == "Chile, Rep"


def test_crlf_and_a_byte_order_mark_change_nothing():
    marked = b"\xef\xbb\xbf" + TRADE.replace(b"\n", b"\r\n")
    assert parse.read_download(marked, IMPORTS) == parse.read_download(TRADE, IMPORTS)
    layout = parse.read_layout(marked, IMPORTS)
    assert (layout.encoding, layout.line_ending) == ("utf-8-sig", "\r\n")


@pytest.mark.parametrize(
    "header", ["ID;Control;PRODUTO;2000;2001", "id;tipo;Produto;2000;2001", " Id ; Tipo; produto ; 2000; 2001 "]
)
def test_header_names_are_known_in_any_case(header):
    data = f"{header}\n1;vm_Tinto;Tinto;1;2\n".encode()
    assert parse.read_download(data, PRODUCTION).rows == [Row(1, "vm_Tinto", "Tinto", ["1", "2"])]


@pytest.mark.parametrize("name", ["País", "PAÍS", "pais", " Pais ", "PaÃ\xads"])
def test_the_column_of_countries_is_known_with_and_without_its_accent(name):
    table = parse.read_download(TRADE.replace("País".encode(), name.encode()), IMPORTS)
    assert text_of(table) == text_of(parse.read_download(TRADE, IMPORTS))


def test_columns_are_found_by_name_wherever_they_stand_and_unknown_ones_are_left_out():
    table = parse.read_download((PAGES / "trade_of_another_day.csv").read_bytes(), IMPORTS)
    assert table.years == [2000, 2001]
    assert table.rows == [
        Row(1, None, "Itália", ["0,00", "-", "1.234", "3.400,50"]),
        Row(2, None, "Não declarados", ["12", "*", "", "nd"]),
    ]
    assert table.remarks == ["columns that no known name explains are left out: 'Continente', ''"]


def test_a_table_needs_no_column_of_row_numbers():
    table = parse.read_download(b"cultivar;2000\nBailey;1\n", GRAPES)
    assert (table.rows, table.remarks) == ([Row(1, None, "Bailey", ["1"])], [])


def test_blank_lines_and_empty_fields_behind_a_row_are_no_rows_and_no_columns():
    lines = TRADE.decode().splitlines()
    padded = "\n\n".join([lines[0], lines[1] + ";;", ";;;;;", *lines[2:], " "]).encode()
    assert parse.read_download(padded, IMPORTS) == parse.read_download(TRADE, IMPORTS)


def test_a_header_that_repeats_its_last_year_is_read_as_the_next_and_says_so():
    table = parse.read_download((PAGES / "trade_wrong_header.csv").read_bytes(), IMPORTS)
    assert table.years == [2020, 2021, 2022]
    assert table.rows[0].cells == ["1", "2", "3", "4", "5", "6"]
    assert table.remarks == ["the header names 2021 once too often: its last columns are read as 2022"]
    assert table.notes == []


@pytest.mark.parametrize(("encoding", "said"), [("latin-1", "cp1252"), ("cp1252", "cp1252")])
def test_what_is_not_utf_8_is_read_as_latin_1_and_says_so(encoding, said):
    data = (PAGES / "trade_latin1.csv").read_bytes()
    assert data.decode(encoding).encode("latin-1") == data
    table = parse.read_download(data, IMPORTS)
    assert [row.label for row in table.rows] == ["África do Sul", "Itália"]
    assert table.remarks == [f"the bytes are not UTF-8: read as {said}"]


def test_a_byte_that_cp1252_does_not_know_is_read_as_latin_1():
    data = (PAGES / "trade_latin1.csv").read_bytes().replace(b"It\xe1lia", b"It\xe1lia\x81")
    table = parse.read_download(data, IMPORTS)
    assert table.rows[1].label == "Itália\x81"
    assert table.remarks == ["the bytes are not UTF-8: read as latin-1"]


def test_text_that_was_encoded_twice_is_repaired_and_says_so(shared_data):
    for damaged in sorted((shared_data / "vitibrasil" / "mojibake_samples").glob("*.csv")):
        good = shared_data / "vitibrasil" / "2025-01_to2023" / damaged.name
        table = BY_DOWNLOAD[damaged.stem]
        read = parse.read_download(damaged.read_bytes(), table)
        assert text_of(read) == text_of(parse.read_download(good.read_bytes(), table))
        (remark,) = read.remarks
        assert re.match(r"text that was encoded twice is repaired \(\d times\): '.*Ã.*' is read as '.*'", remark)


def test_every_name_of_the_real_files_comes_back_from_double_encoding_and_none_is_changed_without(shared_data):
    names = set()
    for file in shared_data.glob("vitibrasil/20*/*.csv"):
        layout = parse.read_layout(file.read_bytes(), BY_DOWNLOAD[file.stem])
        names |= {field for record in (layout.header, *layout.records) for field in record if not field.isdigit()}
    accented = sorted(name for name in names if not name.isascii())
    assert len(accented) > 150
    for name in accented:
        assert parse.repaired(name) == name
        assert parse.repaired(name.encode().decode("latin-1")) == name
        assert parse.repaired(name.encode().decode("sloppy-windows-1252")) == name


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "imports_table_wine.*empty file"),
        (b" \n", "imports_table_wine.*empty file"),
        (b"\xef\xbb\xbf", "imports_table_wine.*header names years"),
        (b";;;\n;;;\n", "imports_table_wine.*header names years"),
        (b"<!-- v --><!DOCTYPE html><p>fora do ar</p>", "imports_table_wine.*HTML page.*fora do ar"),
        (b"fora do ar\n", "imports_table_wine.*header names years, got 'fora do ar'"),
        (b"Erro: fora do ar\nem 2024-05-01\n", "imports_table_wine.*header names years"),
        (TRADE.splitlines(keepends=True)[0], "expected rows below the header"),
        (
            TRADE.replace(b"tabela;0;0;0;0\n", b"tabela;0;0"),
            r"row 3 \(Não consta.*expected 6 columns, got 4.*last row",
        ),
        (TRADE.replace(b"o consta na tabela;0;0;0;0\n", b"")[:-1], r"row 3 \(N\): expected 6 columns, got 2"),
        (TRADE.replace(b"tabela;0;0;0;0\n", b'tabela;0;0;0;"'), "cannot be split"),
    ],
)
def test_what_is_no_table_or_was_cut_off_is_a_wrong_answer(data, expected):
    with pytest.raises(WrongReply, match=expected):
        parse.read_download(data, IMPORTS)


def test_a_download_cut_off_anywhere_is_a_wrong_answer_or_ends_with_a_whole_row():
    whole = parse.read_download(TRADE, IMPORTS)
    for end in range(len(TRADE)):
        try:
            table = parse.read_download(TRADE[:end], IMPORTS)
        except WrongReply:
            continue
        *before, last = table.rows
        assert before == whole.rows[: len(before)]
        assert [last.label, *last.cells[:-1]] == [
            whole.rows[last.row - 1].label,
            *whole.rows[last.row - 1].cells[:-1],
        ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (TRADE.replace("País".encode(), b"Nome"), "imports_table_wine.*one column produto.* got 'Id', 'Nome'"),
        (TRADE.replace(b"Id;", b"Produto;"), "imports_table_wine.*one column produto.* got 'Produto', 'País'"),
        (TRADE.replace(b";2001;2001", b";2001;x"), "two columns for each year, got 3 columns of years"),
        (TRADE.replace(b";2001;2001", b";2001;2002"), "imports_table_wine.*2001 beside 2002"),
        (TRADE.replace(b";2001;2001", b";2005;2005"), "imports_table_wine.*expected 2001 after 2000.*got 2005"),
        (
            TRADE.replace(b"2000;2000", b"2002;2002").replace(b";2001;2001", b";2000;2000"),
            "2001 after 2000.*got 2002",
        ),
        (TRADE.replace(b"1200;3400;;nd", b"1200;3400;"), r"row 2 \(Chile\): expected 6 columns, got 5"),
        (TRADE.replace(b"3400;;nd", b"3400;;nd;9"), r"row 2 \(Chile\): expected 6 columns, got 7"),
        (TRADE.replace(b"tabela;0;0;0;0", b"tabela;0;0;0;0;9"), r"row 3 .* expected 6 columns, got 7"),
        (TRADE.replace(b" Chile ", b'"Chile"x'), "imports_table_wine.*cannot be split"),
    ],
)
def test_a_download_that_is_not_understood_is_an_error_that_says_where_and_what(data, expected):
    with pytest.raises(VindimaError, match=expected) as error:
        parse.read_download(data, IMPORTS)
    assert error.type is VindimaError


def test_every_known_download_is_read(shared_data):
    """Each from 1970 on, and the newest table of a folder to the year that the folder is named after."""
    folders = sorted(shared_data.glob("vitibrasil/20*"))
    assert folders
    for folder in folders:
        last_years = set()
        for file in sorted(folder.glob("*.csv")):
            table = parse.read_download(file.read_bytes(), BY_DOWNLOAD[file.stem])
            assert table.years == list(range(1970, table.years[-1] + 1)), file
            parse.check_cells(table)
            last_years.add(table.years[-1])
        assert max(last_years) == int(folder.name[-4:]), folder


def test_header_that_names_a_year_once_too_often_is_read_as_the_next(shared_data):
    file = shared_data / "vitibrasil" / "2024-05_to2022" / "ImpSuco.csv"
    table = parse.read_download(file.read_bytes(), BY_DOWNLOAD["ImpSuco"])
    assert table.remarks == ["the header names 2021 once too often: its last columns are read as 2022"]
    assert table.years[-1] == 2022


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", "0"), ("217208604", "217208604"), ("35881118,23", "35881118.23"), ("124.233.465,78", "124233465.78"),
     ("217.208", "217208"), ("0,00", "0")],
)  # fmt: skip
def test_a_number_is_read_in_every_style_of_the_source(text, value):
    assert parse.amount(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "nd", "12a", "1.23", "1,2,3", "-5", "1 234", "1.2345", "12..345", "١٢"])
def test_what_is_no_number_is_none(text):
    assert parse.amount(text) is None


@pytest.mark.parametrize(
    ("cell", "trade", "american", "viniferas"),
    [
        ("1234567", "1.234.567", "1.234.567", "1.234.567"),
        (" 1234,5 ", "1.235", "1.235", "1.235"),
        ("1.234,49", "1.234", "1.234", "1.234"),
        ("0", "-", "-", "-"),
        ("0,00", "-", "-", "-"),
        ("0,2", "0", "0", "0"),
        ("", "-", "-", "-"),
        ("-", "-", "-", "-"),
        ("+", "-", "-", "-"),
        ("*", "-", "*", "-"),
        ("nd", "nd", "nd", "nd"),
    ],
)
def test_a_cell_is_shown_as_the_site_shows_it(cell, trade, american, viniferas):
    tables = (IMPORTS, GRAPES, TABLES["processing_viniferas"])
    assert tuple(parse.shown(cell, table) for table in tables) == (trade, american, viniferas)


def test_a_cell_that_is_neither_number_nor_mark_is_named_with_its_place():
    rows = [Row(1, None, "Chile", ["1", " nd ", "", "*"]), Row(2, None, " Itália", ["+", "-", "1.234,5", "1O"])]
    table = RawTable("imports_raisins", "t", "kg; US$ FOB", [1996, 1997], rows, "download/ImpPassas.csv")
    with pytest.raises(VindimaError, match=r"imports_raisins 1997, row 2 \(Itália\): expected a number .*, got '1O'"):
        parse.check_cells(table)
    rows[1].cells[3] = "0"
    parse.check_cells(table)


def test_a_page_gives_rows_totals_limits_and_link():
    page = parse.read_page(TRADE_PAGE, IMPORTS, 2001)
    assert (page.year, page.title, page.first_year, page.last_year) == (
        2001,
        "Importação de vinhos de mesa",
        1970,
        2001,
    )
    assert page.headings == ["Países", "Quantidade (Kg)", "Valor (US$)"]
    assert [(row.label, row.level, row.cells) for row in page.rows] == [
        ("Africa do Sul", None, ("25", "36")),
        ("Chile", None, ("-", "1.234.567")),
    ]
    assert page.totals == ["25", "1.234.603"]
    assert page.download == "download/ImpVinhos.csv"
    assert page.suboptions == [("subopt_01", "Vinhos de mesa"), ("subopt_02", "Espumantes")]
    assert page.source == "Repartição A"
    assert page.footnotes == ["(1) Primeira nota.", "*: Agregados [Uvas A: 1.234; Uvas B ou C: 5]"]
    assert page.remarks == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<td>-</td>", "<td><!-- c -->-</td>"),
        ("<td>-</td>", "<td><b>-</b><!-- c --></td>"),
        ("<td>-</td>", "<td>\xa0-<span></span> </td>"),
        ("<td> Chile</td>", "<th scope='row'>Ch<i>il</i>e</th>"),
        ("<tbody>", "<tbody><!-- rows --><?php rows ?>"),
        ("class='tb_base tb_dados'", 'class="no_print\ttb_dados  tb_base"'),
        ("<!DOCTYPE html>", "\ufeff<!-- versão 2.00 -->\n<!DOCTYPE html>"),
        ("</html>", "</HTML>\n<!-- 0.2 s -->\n"),
        ("(1) Primeira nota.", "(1) <i>Primeira</i>\n nota."),
        ("<tr><td> Chile", "<tr class='x'> <td class='y'> Chile"),
    ],
)
def test_how_a_page_is_written_makes_no_difference(old, new):
    text = TRADE_PAGE.decode()
    assert old in text
    assert parse.read_page(text.replace(old, new).encode(), IMPORTS, 2001) == parse.read_page(TRADE_PAGE, IMPORTS)


def test_an_empty_cell_of_a_page_is_blank_and_moves_no_other():
    page = parse.read_page(TRADE_PAGE.replace(b"<td>-</td>", b"<td></td>"), IMPORTS)
    assert page.rows[1] == ("Chile", None, ("", "1.234.567"))


def test_a_page_that_is_not_utf_8_or_was_encoded_twice_is_read_all_the_same_and_says_so():
    text = TRADE_PAGE.decode()
    good = parse.read_page(TRADE_PAGE, IMPORTS)
    latin = parse.read_page(text.encode("latin-1"), IMPORTS, 2001)
    twice = parse.read_page(TRADE_PAGE.decode("latin-1").encode(), IMPORTS, 2001)
    assert (latin.title, latin.rows, latin.source) == (good.title, good.rows, good.source)
    assert (twice.title, twice.rows, twice.source) == (good.title, good.rows, good.source)
    assert latin.remarks == ["the bytes are not UTF-8: read as cp1252"]
    assert [remark.split(" (")[0] for remark in twice.remarks] == ["text that was encoded twice is repaired"]


def test_a_page_without_a_download_link_is_read():
    page = parse.read_page(TRADE_PAGE.replace(b"href='download/ImpVinhos.csv'", b"href='#'"), IMPORTS)
    assert page.download is None


def test_a_page_whose_download_has_another_name_is_known_by_its_title():
    page = parse.read_page(TRADE_PAGE.replace(b"ImpVinhos.csv", b"Vinhos2.csv"), IMPORTS)
    assert page.download == "download/Vinhos2.csv"


def by_another_reader(data: bytes) -> dict[str, object]:
    """What lxml alone finds on a page of the site."""
    root = lxml.html.fromstring(data, parser=lxml.html.HTMLParser(encoding="utf-8"))

    def words(elements):
        return [" ".join(element.text_content().split()) for element in elements]

    (body,) = root.find_class("tb_dados")
    (title,) = words(root.find_class("text_center"))
    (limits,) = words(root.find_class("lbl_pesq"))
    (download,) = root.xpath("//a[@class='footer_content'][starts-with(@href, 'download/')]/@href")
    (footer,) = root.find_class("tb_font")
    lines = [" ".join(line.split()) for text in footer.xpath(".//text()") for line in text.split("\n")]
    records = [row.findall("td") for row in body.findall("tbody/tr")]
    levels = [record[0].get("class", "").removeprefix("tb_") or None for record in records]
    return {
        "year": int(title[-5:-1]),
        "title": title[:-6].strip(),
        "first_year": int(limits[-10:-6]),
        "last_year": int(limits[-5:-1]),
        "suboptions": [(button.get("value"), *words([button])) for button in root.find_class("btn_sopt")],
        "download": download,
        "headings": words(body.findall("thead//th")),
        "rows": [
            (label, level, tuple(cells)) for (label, *cells), level in zip(map(words, records), levels, strict=True)
        ],
        "totals": words(body.findall("tfoot//td"))[1:],
        "footnotes": [line for line in lines if line and not line.startswith(("Fonte:", "Elaboração:"))],
        "source": next(line for line in lines if line.startswith("Fonte:")).removeprefix("Fonte:").strip(),
        "remarks": [],
    }


def test_every_saved_page_is_read_as_another_reader_reads_it(shared_data):
    pages = [page for vintage in ("2025-01", "2025-05") for page in saved_pages(shared_data / "html" / vintage)]
    assert len(pages) == 42
    for path, table, year in pages:
        data = path.read_bytes()
        page = parse.read_page(data, table, year)
        assert vars(page) == by_another_reader(data), path
        assert {row.level for row in page.rows} <= ({None} if table.is_trade else {"item", "subitem", None}), path
        assert [value for value, _ in parse.read_menu(data)] == [f"opt_0{number}" for number in range(1, 8)]
        assert parse.read_submenu(data) == page.suboptions


def test_the_menus_of_a_page_are_its_buttons():
    assert parse.read_menu(TRADE_PAGE) == [("opt_05", "Importação"), ("opt_06", "Exportação")]
    assert parse.read_submenu(TRADE_PAGE) == [("subopt_01", "Vinhos de mesa"), ("subopt_02", "Espumantes")]


@pytest.mark.parametrize("read", [parse.read_menu, parse.read_submenu])
@pytest.mark.parametrize("data", [b"", b"<html><p>fora do ar</p></html>", TRADE_PAGE[: TRADE_PAGE.index(b"Espuma")]])
def test_a_menu_of_what_is_no_whole_page_is_a_wrong_answer(read, data):
    with pytest.raises(WrongReply, match="option buttons"):
        read(data)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[2001] </p>", "[2000] </p>", "imports_table_wine 2001.*expected the page of 2001, got that of 2000"),
        ("tb_dados", "tb_outra", "imports_table_wine 2001.*data table"),
        ("tb_dados", "tb_dados_2", "imports_table_wine 2001.*data table"),
        ("</html>", "", "imports_table_wine 2001.*ends with </html>, got one that ends .*TOPO"),
        ("de vinhos de mesa [2001]", "de passas [2001]", "got the page of 'Importação de passas'"),
        ("<tr><td> Chile", "</tbody></table><table><tr><td> Chile", "expected a total of 3 cells, got 0"),
    ],
)
def test_a_page_that_is_not_the_one_asked_for_is_a_wrong_answer(old, new, expected):
    data = TRADE_PAGE.decode().replace("ImpVinhos", "Outro").replace(old, new).encode()
    with pytest.raises(VindimaError, match=expected) as error:
        parse.read_page(data, IMPORTS, 2001)
    assert (error.type is WrongReply) == ("total of" not in expected)


def test_a_page_without_rows_is_a_wrong_answer():
    text = TRADE_PAGE.decode()
    data = text[: text.index("<tbody>")] + "<tbody>" + text[text.index("</tbody>") :]
    with pytest.raises(WrongReply, match="expected rows in the data table, got none"):
        parse.read_page(data.encode(), IMPORTS)


def test_a_page_cut_off_anywhere_is_a_wrong_answer():
    for end in range(TRADE_PAGE.index(b"</html>") + len("</html>")):
        with pytest.raises(WrongReply):
            parse.read_page(TRADE_PAGE[:end], IMPORTS, 2001)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[2001] </p>", "</p>", r"title that ends with \[year\], got 'Importação de vinhos de mesa'"),
        ("[1970-2001]", "", "year limits"),
        ("<td>-</td>", "", "row 2: expected 3 cells, got 2"),
        ("<td>-</td>", "<td>-</td><td>-</td>", "row 2: expected 3 cells, got 4"),
        ("<td>-</td>", "<!-- - -->", "row 2: expected 3 cells, got 2"),
        (
            "<td> 36 </td></tr>\n    <tr><td> Chile</td>",
            "</tr>\n    <tr><td> Chile</td><td> 36 </td>",
            "row 1: expected 3 cells, got 2",
        ),
        ("<th>Países</th>", "", "expected 3 columns, got 2"),
        ("<td> Total </td>", "", "total of 3 cells, got 2"),
    ],
)
def test_a_page_that_is_not_understood_is_an_error_that_says_where_and_what(old, new, expected):
    assert old in TRADE_PAGE.decode()
    data = TRADE_PAGE.decode().replace(old, new).encode()
    with pytest.raises(VindimaError, match=expected) as error:
        parse.read_page(data, IMPORTS, 2001)
    assert error.type is VindimaError


def test_the_page_of_another_table_is_refused():
    with pytest.raises(WrongReply, match="expected 'Importação de espumantes', got the page of"):
        parse.read_page(TRADE_PAGE, TABLES["imports_sparkling_wine"])


def test_a_footnote_gives_its_aggregates():
    assert parse.aggregates("*: em 2022 [Uvas viníferas: 99.738.086; Outras: 5]") == [
        ("Uvas viníferas", "99.738.086"),
        ("Outras", "5"),
    ]
    assert parse.aggregates("(1) Inclui Clairette") == []
    assert parse.aggregates("Obs: veja [2] e [3]") == []


# What a download or a page may hold, in any combination.

NAMES = ["Tinto", "TINTAS", "Itália", "Não consta na tabela", "Países Baixos (Holanda)", "Coreia do Sul, República",
         "São Tomé e Príncipe", "VINHO ORGÂNICO", "Provisão de Navios | Aeronaves", "Costa d'Água; 1", "Moscato 2000",
         "BRANCAS E ROSADAS", 'Vinho "fino"', "Guiné-Bissau", "ÁUSTRIA", "Índia"]  # fmt: skip
spaces = st.sampled_from(["", "", "", " ", "  "])


@st.composite
def numbers(draw: st.DrawFn) -> tuple[str, Decimal]:
    """A number in one of the styles that the source mixes in one column, and its value."""
    whole, cents = draw(st.integers(0, 10**10)), draw(st.integers(0, 99))
    styles = [str(whole), f"{whole:,}".replace(",", ".")]
    styles += [f"{style},{cents:02}" for style in styles]
    style = draw(st.integers(0, 3))
    return styles[style], Decimal(whole) + (Decimal(cents) / 100 if style > 1 else 0)


cells = st.one_of(
    numbers(),
    st.sampled_from([("0", Decimal(0)), ("0,00", Decimal(0)), *((mark, None) for mark in parse.MARKS)]),
)


@st.composite
def downloads(draw: st.DrawFn) -> tuple[bytes, Table, list[int], list[tuple], list[list[Decimal | None]]]:
    """A download in some way of writing; its table, years, (control, label, cells) a row, and the cells' values."""
    table = draw(st.sampled_from([IMPORTS, GRAPES, PRODUCTION]))
    control = None if table.is_trade else draw(st.sampled_from([None, "control", "Control", "tipo", "TIPO"]))
    label = draw(st.sampled_from(["País", "pais", "PAÍS"] if table.is_trade else ["produto", "Produto", "CULTIVAR"]))
    first = draw(st.integers(1970, 2030))
    years = list(range(first, first + draw(st.integers(1, 3))))
    unknown = draw(st.lists(st.sampled_from(["", "Obs", "Código", "unidade"]), max_size=2))
    keys = draw(
        st.permutations([draw(st.sampled_from(["id", "Id", "ID"])), label, *unknown] + [control] * bool(control))
    )
    rows, values = [], []
    lines = [[*keys, *(str(year) for year in years for _ in table.measures)]]
    for _ in range(draw(st.integers(1, 4))):
        texts, amounts = zip(*[draw(cells) for _ in lines[0][len(keys) :]], strict=True)
        texts = tuple(draw(spaces) + text + draw(spaces) for text in texts)
        name = draw(spaces) + draw(st.sampled_from(NAMES)) + draw(spaces)
        own = {label: name, control: draw(st.sampled_from(["", "ti_Bailey", "TINTAS", "br_Itália"]))}
        lines.append([own.get(key, "7") if key else "" for key in keys] + list(texts))
        rows.append((own[control] if control else None, name, list(texts)))
        values.append(list(amounts))
    lines[0] = [draw(spaces) + name + draw(spaces) if name else name for name in lines[0]]
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "cp1252", "twice"]))
    text = io.StringIO(newline="")
    writer = csv.writer(
        text,
        delimiter=draw(st.sampled_from(";\t,|:~#^" + "§" * (encoding != "twice"))),
        lineterminator=draw(st.sampled_from(["\n", "\r\n"])),
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
    )
    for line in lines:
        writer.writerow(line)
        writer.writerows([[]] * draw(st.sampled_from([0, 0, 1])))
    written = text.getvalue() if draw(st.booleans()) else text.getvalue().rstrip("\r\n")
    data = written.encode().decode("latin-1").encode() if encoding == "twice" else written.encode(encoding)
    return data, table, years, rows, values


@given(downloads())
@settings(same_every_time, max_examples=400)
def test_a_download_in_any_way_of_writing_gives_the_same_labels_cells_and_years(download):
    data, table, years, rows, values = download
    read = parse.read_download(data, table)
    assert read.years == years
    assert [(row.control, row.label, row.cells) for row in read.rows] == rows
    assert [[parse.amount(cell.strip()) for cell in row.cells] for row in read.rows] == values
    parse.check_cells(read)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A part of `whole` replaced by random bytes or by another part of it."""
    start, end, left, right = (draw(st.integers(0, len(whole))) for _ in range(4))
    return whole[:start] + draw(st.one_of(st.binary(max_size=20), st.just(whole[left:right]))) + whole[end:]


@given(st.one_of(st.binary(), damaged(TRADE), damaged(TRADE_PAGE), st.text().map(str.encode)))
@example(b"\x00")
@example(b"\xff\xfeI\x00d\x00")
@example(b";;\n;\n")
@example(b"fora_do_ar.html")
@example(b"https://localhost/fora-do-ar")
@example(b"<?xml version='1.0' encoding='latin-1'?><erro>fora do ar</erro>")
@example(TRADE.replace(b";", b"\x00"))
@example(TRADE_PAGE.replace(b"<td>", b"<td>\x00"))
@settings(same_every_time, max_examples=800)
def test_no_bytes_raise_anything_but_an_error_for_people(data):
    for read in (
        lambda: parse.read_download(data, IMPORTS),
        lambda: parse.read_download(data, PRODUCTION),
        lambda: parse.read_page(data, IMPORTS),
        lambda: parse.read_menu(data),
        lambda: parse.read_submenu(data),
    ):
        with suppress(VindimaError):
            read()


def written_page(table: Table, year: int, rows: list[tuple[str, str | None, list[str]]], layout: list[str]) -> bytes:
    """A page of the site with `rows`; `layout` wraps each cell's text in turn, as in '<b>{}</b>'."""
    wrap = iter(layout * (1 + 3 * len(rows)))
    lines = [
        "<tr>"
        + "".join(
            f"<td class='x tb_{level}'>{next(wrap).format(html_escaped(text))}</td>" for text in (label, *texts)
        )
        + "</tr>"
        for label, level, texts in rows
    ]
    columns = 1 + len(table.measures)
    return f"""<!DOCTYPE html><html><meta charset='UTF-8'><button class='btn_opt' value='opt_05'>I</button>
    <label class='lbl_pesq'>Ano: [1970-{year}]</label><p class='text_center'>{table.title_pt} [{year}]</p>
    <table class='tb_base tb_dados'><thead><tr>{"<th>x</th>" * columns}</tr></thead><tbody>{"".join(lines)}</tbody>
    <tfoot><tr>{"<td>0</td>" * columns}</tr></tfoot></table></html>""".encode()


def html_escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


shown_text = st.text(st.characters(codec="latin-1", exclude_categories=["C"]), max_size=12).map(
    lambda text: " ".join(text.split())
)


@given(
    st.sampled_from([IMPORTS, GRAPES]).flatmap(
        lambda table: st.tuples(
            st.just(table),
            st.lists(
                st.tuples(
                    shown_text,
                    st.sampled_from(["item", "subitem"]),
                    st.lists(shown_text, min_size=len(table.measures), max_size=len(table.measures)),
                ),
                min_size=1,
                max_size=4,
            ),
        )
    ),
    st.integers(1970, 2100),
    st.lists(st.sampled_from(["{}", "{}", " {}\n ", "<b>{}</b>", "<!-- c -->{}", "{}<br>"]), min_size=1, max_size=7),
)
@settings(same_every_time, max_examples=400)
def test_a_page_written_from_any_rows_gives_them_back(table_and_rows, year, layout):
    table, rows = table_and_rows
    assume(all(ftfy.fix_encoding(text) == text for label, _, texts in rows for text in (label, *texts)))
    page: Page = parse.read_page(written_page(table, year, rows, layout), table, year)
    assert (page.year, page.last_year, page.title) == (year, year, table.title_pt)
    assert [(row.label, None if table.is_trade else row.level, list(row.cells)) for row in page.rows] == [
        (label, None if table.is_trade else level, texts) for label, level, texts in rows
    ]
