from pathlib import Path

import pytest

from vindima.errors import VindimaError
from vindima.ingestion import parse
from vindima.ingestion.catalogue import TABLES

PAGES = Path(__file__).parent / "pages"
IMPORTS = TABLES["imports_table_wine"]
GRAPES = TABLES["processing_american_hybrid"]
TRADE = (PAGES / "trade.csv").read_bytes()
TRADE_PAGE = (PAGES / "trade.html").read_bytes()


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


def test_labels_and_cells_stay_untouched():
    assert parse.read_download(TRADE, IMPORTS).rows[1].label == " Chile "
    table = parse.read_download((PAGES / "processing.csv").read_bytes(), GRAPES)
    assert [row.label for row in table.rows] == ["TINTAS", "  Bailey", "BRANCAS E ROSADAS"]
    assert [row.cells for row in table.rows] == [["10", "*"], ["7,5", "+"], ["nd", "*"]]


def test_an_empty_control_is_not_an_absent_one():
    table = parse.read_download((PAGES / "processing.csv").read_bytes(), GRAPES)
    assert [row.control for row in table.rows] == ["TINTAS", "ti_Bailey", ""]
    table = parse.read_download((PAGES / "production_without_control.csv").read_bytes(), TABLES["production"])
    assert [row.control for row in table.rows] == [None, None]
    assert [row.label for row in table.rows] == ["VINHO DE MESA", "Tinto"]


def test_the_header_tells_the_separator():
    tabbed = TRADE.replace(b";", b"\t")
    commas = TRADE.replace(b";", b",").replace(b" Chile ", b'"Chile, Rep"')
    assert parse.read_download(tabbed, IMPORTS) == parse.read_download(TRADE, IMPORTS)
    assert parse.read_download(commas, IMPORTS).rows[1].label == "Chile, Rep"


def test_crlf_and_a_byte_order_mark_change_nothing():
    marked = b"\xef\xbb\xbf" + TRADE.replace(b"\n", b"\r\n")
    assert parse.read_download(marked, IMPORTS) == parse.read_download(TRADE, IMPORTS)
    layout = parse.read_layout(marked, IMPORTS)
    assert (layout.encoding, layout.line_ending) == ("utf-8-sig", "\r\n")


@pytest.mark.parametrize("header", ["ID;Control;PRODUTO;2000;2001", "id;tipo;Produto;2000;2001"])
def test_header_names_are_known_in_any_case(header):
    data = f"{header}\n1;vm_Tinto;Tinto;1;2\n".encode()
    assert parse.read_download(data, TABLES["production"]).rows[0].control == "vm_Tinto"


def test_a_header_that_repeats_its_last_year_is_read_as_the_next_and_says_so():
    table = parse.read_download((PAGES / "trade_wrong_header.csv").read_bytes(), IMPORTS)
    assert table.years == [2020, 2021, 2022]
    assert table.rows[0].cells == ["1", "2", "3", "4", "5", "6"]
    assert [note.year for note in table.notes] == [2022]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "imports_table_wine.*empty file"),
        (b" \n", "imports_table_wine.*empty file"),
        (b"<!-- v --><!DOCTYPE html><p>fora do ar</p>", "imports_table_wine.*HTML page.*fora do ar"),
        (TRADE.replace(b"Id;", b"Nr;"), "imports_table_wine.*begins with `id`"),
        (b"fora do ar\n", "imports_table_wine.*begins with `id`"),
        (TRADE.replace("País".encode(), b"Nome"), "imports_table_wine.*got 'Nome'"),
        (TRADE.replace(b";2001;2001", b";2001;x"), "imports_table_wine.*two columns a year, got 'x'"),
        (TRADE.replace(b";2001;2001", b";2001;2002"), "imports_table_wine.*2001 beside 2002"),
        (TRADE.replace(b";2001;2001", b";2005;2005"), "imports_table_wine.*expected 2001 after 2000.*got 2005"),
        (TRADE.replace(b"1200;3400;;nd", b"1200;3400;"), r"row 2 \(Chile\): expected 6 columns, got 5"),
        (TRADE.replace(b"3400;;nd", b"3400;;nd;9"), r"row 2 \(Chile\): expected 6 columns, got 7"),
        (TRADE.replace("Não".encode(), b"N\xe3o"), "line 4: expected UTF-8, got the byte 0xe3"),
        (TRADE.splitlines(keepends=True)[0], "expected rows below the header"),
        (TRADE.replace(b" Chile ", b'"Chile'), "imports_table_wine.*cannot be split"),
    ],
)
def test_a_damaged_download_is_an_error_that_says_where_and_what(data, expected):
    with pytest.raises(VindimaError, match=expected):
        parse.read_download(data, IMPORTS)


def test_every_known_download_is_read(shared_data):
    by_name = {table.download: table for table in TABLES.values()}
    files = sorted(shared_data.glob("vitibrasil/20*/*.csv"))
    assert len(files) == 30
    for file in files:
        table = parse.read_download(file.read_bytes(), by_name[file.stem])
        assert table.years == list(range(1970, int(file.parent.name[-4:]) + 1)), file


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
        ("Africa do Sul", None, ["25", "36"]),
        ("Chile", None, ["-", "1.234.567"]),
    ]
    assert page.totals == ["25", "1.234.603"]
    assert page.download == "download/ImpVinhos.csv"
    assert page.suboptions == [("subopt_01", "Vinhos de mesa"), ("subopt_02", "Espumantes")]
    assert page.source == "Repartição A"
    assert page.footnotes == ["(1) Primeira nota.", "*: Agregados [Uvas A: 1.234; Uvas B ou C: 5]"]


def test_a_saved_page_tells_groups_from_their_parts(shared_data):
    page = parse.read_page(
        (shared_data / "html/2025-01/opt_02_default_ano1970.html").read_bytes(), TABLES["production"]
    )
    assert [(row.label, row.level) for row in page.rows[:2]] == [("VINHO DE MESA", "item"), ("Tinto", "subitem")]


def test_the_menus_of_a_page_are_its_buttons():
    assert parse.read_menu(TRADE_PAGE) == [("opt_05", "Importação"), ("opt_06", "Exportação")]
    assert parse.read_submenu(TRADE_PAGE) == [("subopt_01", "Vinhos de mesa"), ("subopt_02", "Espumantes")]
    with pytest.raises(VindimaError, match=r"option buttons.*fora do ar"):
        parse.read_menu(b"<p>fora do ar</p>")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[2001] </p>", "[2000] </p>", "imports_table_wine 2001.*expected the page of 2001, got that of 2000"),
        ("tb_dados", "tb_outra", "imports_table_wine 2001.*data table"),
        ("[2001] </p>", "</p>", r"title that ends with \[year\], got 'Importação de vinhos de mesa'"),
        ("[1970-2001]", "", "year limits"),
        ("href='download/ImpVinhos.csv'", "href='#'", "one download link, got 0"),
        ("<td>-</td>", "", "row 2: expected 3 cells, got 2"),
        ("<th>Países</th>", "", "expected 3 columns, got 2"),
        ("<td> Total </td>", "", "total of 3 cells, got 2"),
    ],
)
def test_a_page_that_is_not_as_asked_is_an_error_that_says_where_and_what(old, new, expected):
    data = TRADE_PAGE.decode().replace(old, new).encode()
    with pytest.raises(VindimaError, match=expected):
        parse.read_page(data, IMPORTS, 2001)


def test_the_page_of_another_table_is_refused():
    with pytest.raises(VindimaError, match="expected 'Importação de espumantes', got the page of"):
        parse.read_page(TRADE_PAGE, TABLES["imports_sparkling_wine"])


def test_a_footnote_gives_its_aggregates():
    assert parse.aggregates("*: em 2022 [Uvas viníferas: 99.738.086; Outras: 5]") == [
        ("Uvas viníferas", "99.738.086"),
        ("Outras", "5"),
    ]
    assert parse.aggregates("(1) Inclui Clairette") == []
    assert parse.aggregates("Obs: veja [2] e [3]") == []
