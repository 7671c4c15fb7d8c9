"""Rows of text become typed tables: marks stay distinguishable, totals are no rows, errors name their place."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vindima.errors import VindimaError
from vindima.etl import tidy
from vindima.ingestion.catalogue import TABLES
from vindima.ingestion.parse import Note, RawTable, Row, read_download


def raw(slug: str, rows: list[tuple[str | None, str, list[str]]], years: tuple[int, ...] = (2022, 2023)) -> RawTable:
    table = TABLES[slug]
    lines = [Row(position, control, label, cells) for position, (control, label, cells) in enumerate(rows, 1)]
    return RawTable(slug, table.title_en, table.unit, list(years), lines, table.download_path)


@pytest.fixture
def tables() -> dict[str, RawTable]:
    """A small raw zone: every table, two years, two countries a trade table."""
    found = {
        slug: raw(slug, [(None, "Chile", ["10", "20", "30", "40"]), (None, "Itália", ["0", "0", "5", "50"])])
        for slug, table in TABLES.items()
        if table.is_trade
    }
    found["production"] = raw(
        "production",
        [
            ("VINHO DE MESA", "VINHO DE MESA", ["30", "33"]),
            ("vm_Tinto", "Tinto", ["10", "11"]),
            ("vm_Branco", "Branco", ["20", "20"]),
            ("SUCO", "SUCO", ["7", "0"]),
            ("su_Suco de uva simples", "Suco de uva integral", ["0", "0"]),
        ],
    )
    found["sales"] = raw(
        "sales",
        [
            ("VINHO  FINO DE MESA", "VINHO  FINO DE MESA", ["3", "4"]),
            ("vm_Tinto", "  Tinto", ["3", "4"]),
            ("VINHO FRIZANTE", "VINHO FRIZANTE", ["9", "8"]),
            ("", "OUTROS PRODUTOS COMERCIALIZADOS", ["1", "1"]),
            ("ou_Agrin", "  Agrin (fermentado, acetico misto)", ["1", "1"]),
        ],
    )
    for slug in ("processing_viniferas", "processing_american_hybrid"):
        found[slug] = raw(
            slug,
            [
                ("TINTAS", "TINTAS", ["*", "12,5"]),
                ("ti_Merlot", "Merlot(1)", ["*", "12,5"]),
                ("BRANCASEROSADAS", "BRANCAS E ROSADAS", ["*", "5"]),
                ("br_Mistura", "Mistura", ["+", "2"]),
                ("br_Mistura", "Mistura", ["", "3"]),
            ],
        )
    found["processing_viniferas"] = dataclasses.replace(
        found["processing_viniferas"],
        notes=[Note(2022, "só agregados [Uvas viníferas: 99.738.086; Outras: 1]")],
    )
    found["processing_table_grapes"] = raw("processing_table_grapes", [("TINTAS", "TINTAS", ["nd", "0"])])
    found["processing_unclassified"] = raw("processing_unclassified", [("sc", "Sem classificação", ["nd", "0"])])
    return found


def with_cell(table: RawTable, row: int, cell: int, text: str) -> RawTable:
    rows = list(table.rows)
    cells = list(rows[row - 1].cells)
    cells[cell] = text
    rows[row - 1] = dataclasses.replace(rows[row - 1], cells=cells)
    return dataclasses.replace(table, rows=rows)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("217208604", 217208604), ("35881118,23", 35881118.23), ("124.233.465,78", 124233465.78),
     ("217.208", 217208), ("0,00", 0)],
)  # fmt: skip
def test_number_reads_every_style_of_the_source(text: str, value: float):
    assert tidy.number(text) == value


@pytest.mark.parametrize("text", ["12a", "1.23", "1,2,3", "-5", "1 234", "1.2345", "12..345"])
def test_number_refuses_what_is_none(text: str):
    with pytest.raises(ValueError, match="expected a number"):
        tidy.number(text)


@given(st.integers(0, 10**12), st.integers(0, 99))
def test_number_is_the_same_with_and_without_grouping(whole: int, cents: int):
    grouped = f"{whole:,}".replace(",", ".") + f",{cents:02}"
    assert tidy.number(grouped) == tidy.number(f"{whole},{cents:02}") == pytest.approx(whole + cents / 100)


def test_marks_blank_and_zero_stay_distinguishable():
    statuses = [tidy.read_cell(text, "here").status for text in ("nd", "*", "+", " ", "0", "7")]
    assert statuses == ["not_available", "withheld", "marked", "blank", "reported", "reported"]
    assert [tidy.read_cell(text, "here").value for text in ("nd", "*", "+", " ", "0")] == [None] * 4 + [0.0]


def test_group_totals_are_no_rows_and_stand_beside_the_sum_of_their_parts(tables):
    frames = tidy.tidy(tables, None, "none")
    wine = frames["production"].query("product_group == 'table_wine' and year == 2023")
    assert sorted(wine["product"]) == ["red", "white"]
    total = frames["totals"].query("table == 'production' and group == 'table_wine' and year == 2023").iloc[0]
    assert (total["published"], total["computed"], total["difference"], total["verdict"]) == (
        33,
        31,
        2,
        "differs",
    )


def test_group_whose_parts_are_all_zero_is_one_aggregate_row_in_that_year_only(tables):
    juice = tidy.tidy(tables, None, "none")["production"].query("product_group == 'juice'").set_index("year")
    assert juice.loc[2022, ["product", "quantity_l", "status"]].tolist() == ["all", 7, "aggregate_only"]
    assert juice.loc[2023, ["product", "quantity_l", "status"]].tolist() == [
        "whole_grape_juice",
        0,
        "reported",
    ]


def test_group_without_parts_is_one_aggregate_row_a_year(tables):
    sales = tidy.tidy(tables, None, "none")["sales"].query("product_group == 'frizzante_wine'")
    assert sales[["product", "quantity_l", "status"]].to_numpy().tolist() == [
        ["all", 9, "aggregate_only"],
        ["all", 8, "aggregate_only"],
    ]


def test_aggregate_that_only_a_footnote_gives_stands_beside_the_withheld_cells(tables):
    viniferas = tidy.tidy(tables, None, "none")["processing"].query("grape_class == 'viniferas' and year == 2022")
    aggregate = viniferas[viniferas["cultivar"] == "all"].iloc[0]
    assert (aggregate["quantity_kg"], aggregate["status"]) == (99_738_086, "aggregate_only")
    assert pd.isna(aggregate["colour"])
    assert viniferas.set_index("cultivar").loc["merlot", "status"] == "withheld"


def test_rows_of_equal_key_in_a_group_are_summed_and_missing_is_not_zero(tables):
    mixed = tidy.tidy(tables, None, "none")["processing"].query(
        "grape_class == 'american_hybrid' and cultivar == 'mistura'"
    )
    by_year = mixed.set_index("year")
    assert by_year.loc[2023, "quantity_kg"] == 5
    assert pd.isna(by_year.loc[2022, "quantity_kg"])
    assert by_year.loc[2022, "status"] == "marked"


def test_synonyms_of_a_country_are_summed_under_the_label_last_seen_with_trade(tables):
    tables["exports_table_wine"] = raw(
        "exports_table_wine",
        [
            (None, "Rússia", ["1", "2", "3", "4"]),
            (None, "República Federativa da Rússia", ["10", "20", "", "0"]),
        ],
    )
    trade = tidy.tidy(tables, None, "none")["trade"]
    russia = trade.query("flow == 'exports' and product == 'table_wine'").set_index("year")
    assert russia["quantity_kg"].tolist() == [11, 3]
    assert set(russia["country_pt"]) == {"Rússia"}


def test_last_year_cuts_every_table(tables):
    frames = tidy.tidy(tables, 2022, "none")
    assert {name: frame["year"].max() for name, frame in frames.items()} == dict.fromkeys(frames, 2022)


def test_last_year_outside_trade_is_refused(tables):
    with pytest.raises(VindimaError, match=r"data.last_year: expected a year of trade from 2022 to 2023, got 2031"):
        tidy.tidy(tables, 2031, "none")


@pytest.mark.parametrize(
    ("slug", "row", "cell", "text", "place"),
    [
        ("imports_table_wine", 2, 3, "1O", r"imports_table_wine 2023, row 2 \(Itália\).*'1O'"),
        ("production", 2, 0, "n.d.", r"production 2022, row 2 \(Tinto\).*'n.d.'"),
        ("processing_viniferas", 2, 1, "1,2,3", r"processing_viniferas 2023, row 2 \(Merlot\(1\)\).*'1,2,3'"),
    ],
)
def test_cell_that_is_no_number_names_table_year_row_and_text(tables, slug, row, cell, text, place):
    tables[slug] = with_cell(tables[slug], row, cell, text)
    with pytest.raises(VindimaError, match=place):
        tidy.tidy(tables, None, "none")


def test_unmapped_country_names_table_and_row(tables):
    tables["imports_raisins"] = raw("imports_raisins", [(None, "Atlantida", ["1", "1", "1", "1"])])
    with pytest.raises(VindimaError, match=r"imports_raisins, row 1: no country code for 'Atlantida'"):
        tidy.tidy(tables, None, "none")


def test_unknown_group_names_table_and_row(tables):
    tables["production"] = raw("production", [("VINHO AZUL", "VINHO AZUL", ["1", "1"])])
    with pytest.raises(VindimaError, match=r"production, row 1: expected one of the groups .* got 'VINHO AZUL'"):
        tidy.tidy(tables, None, "none")


def test_missing_table_is_named(tables):
    del tables["sales"]
    with pytest.raises(VindimaError, match="the raw zone lacks sales"):
        tidy.tidy(tables, None, "none")


def test_download_without_control_column_knows_its_groups_by_their_capitals(tables):
    plain = [dataclasses.replace(row, control=None) for row in tables["production"].rows]
    without = tables | {"production": dataclasses.replace(tables["production"], rows=plain)}
    expected, found = (tidy.tidy(zone, None, "none")["production"] for zone in (tables, without))
    pd.testing.assert_frame_equal(found, expected)


def test_published_columns_of_trade_sum_to_what_the_real_downloads_sum_to(shared_data: Path):
    folder = shared_data / "vitibrasil" / "2025-01_to2023"
    zone = {
        slug: read_download((folder / f"{table.download}.csv").read_bytes(), table) for slug, table in TABLES.items()
    }
    trade = tidy.tidy(zone, None, "all")["trade"]
    for slug, table in TABLES.items():
        if table.is_trade:
            mine = trade[(trade["flow"] == table.section) & (trade["product"] == table.topic)]
            lines = (folder / f"{table.download}.csv").read_text(encoding="utf-8").splitlines()[1:]
            cells = pd.DataFrame([line.split(";")[2:] for line in lines]).apply(pd.to_numeric).sum()
            sums = mine.groupby("year")[["quantity_kg_published", "value_usd_published"]].sum()
            assert sums.to_numpy().ravel().tolist() == cells.tolist(), slug


def test_sums_are_exact_so_that_every_python_gives_the_same_bytes():
    tenth = tidy.Cell(0.1, "reported")
    assert tidy.combine([tenth] * 10).value == 1.0
