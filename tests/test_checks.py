from dataclasses import replace

import pytest

from vindima.ingestion import checks, parse
from vindima.ingestion.catalogue import TABLES
from vindima.ingestion.checks import Disagreement, Extent
from vindima.ingestion.parse import Page, PageRow, RawTable, Row

IMPORTS = TABLES["imports_table_wine"]
VINIFERAS = TABLES["processing_viniferas"]
AMERICANAS = TABLES["processing_american_hybrid"]


def a_download(*rows: tuple[str, ...], slug: str = "imports_table_wine", years: tuple[int, ...] = (2022, 2023)):
    table = TABLES[slug]
    read = [Row(position, None, label, list(cells)) for position, (label, *cells) in enumerate(rows, 1)]
    return RawTable(slug, table.title_pt, table.unit, list(years), read, table.download_path)


def a_page(*rows: tuple[str, ...], year: int = 2023) -> Page:
    read = [PageRow(label, None, list(cells)) for label, *cells in rows]
    return Page(year, "", 1970, 2023, [], None, [], read, [], "", [])


def test_a_cell_that_differs_is_named_with_both_values():
    raw = a_download((" Chile ", "1", "2", "1234567", "4"), ("Peru", "0", "0", "5", "6"))
    found = checks.disagreements(raw, a_page(("Chile", "1.234.568", "4"), ("Peru", "5", "6")), IMPORTS)
    assert found == [Disagreement("imports_table_wine", 2023, 1, "Chile", "quantity_kg", "1234567", "1.234.568")]
    assert str(found[0]) == (
        "imports_table_wine 2023, row 1 (Chile), quantity_kg: the download has '1234567', the page '1.234.568'"
    )


@pytest.mark.parametrize(
    ("table", "cell", "shown"),
    [
        (VINIFERAS, "1234567", "1.234.567"),
        (VINIFERAS, " 7,5 ", "8"),
        (VINIFERAS, "7,5", "7"),
        (VINIFERAS, "124.233.465,78", "124.233.466"),
        (VINIFERAS, "0,4", "-"),
        (VINIFERAS, "0,00", "-"),
        (VINIFERAS, "0", "-"),
        (VINIFERAS, "", "-"),
        (VINIFERAS, "+", "-"),
        (VINIFERAS, "*", "-"),
        (VINIFERAS, "nd", "nd"),
        (AMERICANAS, "*", "*"),
    ],
)
def test_rounding_and_what_a_page_cannot_show_are_no_difference(table, cell, shown):
    raw = a_download(("Tinto", cell), slug=table.slug, years=(2022,))
    assert checks.disagreements(raw, a_page(("Tinto", shown), year=2022), table) == []


@pytest.mark.parametrize(
    ("table", "cell", "shown"),
    [
        (VINIFERAS, "7", "8"),
        (VINIFERAS, "7,5", "9"),
        (VINIFERAS, "1", "-"),
        (VINIFERAS, "nd", "-"),
        (VINIFERAS, "0", "nd"),
        (VINIFERAS, "*", "5"),
        (AMERICANAS, "*", "-"),
        (AMERICANAS, "0", "*"),
    ],
)
def test_any_other_difference_is_one(table, cell, shown):
    raw = a_download(("Tinto", cell), slug=table.slug, years=(2022,))
    (found,) = checks.disagreements(raw, a_page(("Tinto", shown), year=2022), table)
    assert (found.download, found.page) == (cell, shown)


def test_a_row_that_only_one_of_them_has_is_named_and_shifts_no_other():
    raw = a_download(("Chile", "1", "2", "3", "4"), ("Peru", "0", "0", "5", "6"))
    found = checks.disagreements(raw, a_page(("Bolívia", "7", "8"), ("Peru", "5", "6")), IMPORTS)
    assert [(one.row, one.label, one.measure, one.download, one.page) for one in found] == [
        (1, "Chile", "quantity_kg", "3", None),
        (1, "Chile", "value_usd", "4", None),
        (1, "Bolívia", "quantity_kg", None, "7"),
        (1, "Bolívia", "value_usd", None, "8"),
    ]
    assert "the download has '3', the page no such row" in str(found[0])


def test_rows_of_one_name_are_paired_in_their_order():
    raw = a_download(("Tinto", "1"), ("Branco", "2"), ("Tinto", "3"), slug="production", years=(2023,))
    page = a_page(("Tinto", "1"), ("Branco", "2"), ("Tinto", "4"))
    (found,) = checks.disagreements(raw, page, TABLES["production"])
    assert (found.row, found.label, found.download, found.page) == (3, "Tinto", "3", "4")


def test_a_year_that_the_download_does_not_have_is_not_compared():
    raw = a_download(("Chile", "1", "2", "3", "4"))
    assert checks.disagreements(raw, a_page(("Chile", "9", "9"), year=2024), IMPORTS) == []


def test_every_saved_page_agrees_with_the_download_of_its_vintage(shared_data):
    from tests.test_mirror import saved_pages

    compared = 0
    for path, table, year in saved_pages(shared_data / "html" / "2025-01"):
        download = shared_data / "vitibrasil" / "2025-01_to2023" / f"{table.download}.csv"
        raw = parse.read_download(download.read_bytes(), table)
        page = parse.read_page(path.read_bytes(), table, year)
        assert checks.disagreements(raw, page, table) == [], path.name
        compared += len(page.rows)
    assert compared > 1000


def test_an_extent_counts_what_a_page_would_show_above_zero():
    raw = a_download(("a", "1"), ("b", "0,4"), ("c", "0,00"), ("d", "nd"), ("e", "*"), ("f", "2.000"), ("g", ""),
                     slug="production", years=(2023,))  # fmt: skip
    assert checks.extent(raw) == Extent(2023, 7, 2)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"last_year": 2022}, "the last year falls from 2023 to 2022"),
        ({"rows": 4}, "the number of rows falls from 5 to 4"),
        ({"cells_above_zero": 8}, "the number of cells above zero falls from 9 to 8"),
    ],
)
def test_less_is_a_loss_and_more_is_none(change, expected):
    extent = Extent(2023, 5, 9)
    assert list(checks.losses(extent, replace(extent, **change))) == [expected]
    assert list(checks.losses(extent, extent)) == []
    assert list(checks.losses(extent, Extent(2024, 6, 10))) == []
