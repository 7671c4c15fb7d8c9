"""Rows of text become typed tables: marks stay distinguishable, totals are no rows, errors name their place."""

import dataclasses
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from werkzeug.test import Client

from tests.sites import FIGURES
from tests.test_mirror import saved_pages
from vindima import paths
from vindima.errors import VindimaError
from vindima.etl import tidy
from vindima.ingestion import mirror, site
from vindima.ingestion.catalogue import TABLES, Table
from vindima.ingestion.parse import Note, Page, RawTable, Row, aggregates, read_download, read_page


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


def test_where_anything_is_refused_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The flags, which are made last, break their contract."""
    site.collect(raw_dir=tmp_path / "raw", figures_dir=paths.FIGURES)
    shutil.copytree(paths.FIGURES, tmp_path / "figures")
    where = (tmp_path / "raw", tmp_path / "figures", tmp_path / "tidy", tmp_path / "reports", None, "all")
    with monkeypatch.context() as patch:
        patch.setattr(tidy.quality, "explained", lambda flags, *_: flags.assign(finding=1))
        with pytest.raises(VindimaError, match="table flags breaks its contract"):
            tidy.run(*where)
    assert not any(path.is_file() for name in ("tidy", "reports") for path in (tmp_path / name).rglob("*"))


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), (" 217208604 ", 217208604), ("124.233.465,78", 124233465.78), ("35881118,23", 35881118.23), ("-", 0)],
)
def test_a_cell_with_a_number_is_that_number(text: str, value: float):
    assert tidy.read_cell(text, "here") == tidy.Cell(value, "reported")


@pytest.mark.parametrize("text", ["12a", "1.23", "1,2,3", "-5", "1 234", "1.2345", "12..345"])
def test_a_cell_that_is_neither_number_nor_mark_is_refused_with_its_place(text: str):
    with pytest.raises(VindimaError, match=r"^here: expected a number like .* got '"):
        tidy.read_cell(text, "here")


def test_marks_blank_and_zero_stay_distinguishable():
    statuses = [tidy.read_cell(text, "here").status for text in ("nd", "*", "+", " ", "0", "7")]
    assert statuses == ["not_available", "withheld", "marked", "blank", "reported", "reported"]
    assert [tidy.read_cell(text, "here").value for text in ("nd", "*", "+", " ", "0")] == [None] * 4 + [0.0]


def test_group_totals_are_no_rows_and_stand_beside_the_sum_of_their_parts(tables):
    frames = tidy.tidy(tables, None)
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
    juice = tidy.tidy(tables, None)["production"].query("product_group == 'juice'").set_index("year")
    assert juice.loc[2022, ["product", "quantity_l", "status"]].tolist() == ["all", 7, "aggregate_only"]
    assert juice.loc[2023, ["product", "quantity_l", "status"]].tolist() == [
        "whole_grape_juice",
        0,
        "reported",
    ]


def test_group_without_parts_is_one_aggregate_row_a_year(tables):
    sales = tidy.tidy(tables, None)["sales"].query("product_group == 'frizzante_wine'")
    assert sales[["product", "quantity_l", "status"]].to_numpy().tolist() == [
        ["all", 9, "aggregate_only"],
        ["all", 8, "aggregate_only"],
    ]


def test_aggregate_that_only_a_footnote_gives_stands_beside_the_withheld_cells(tables):
    viniferas = tidy.tidy(tables, None)["processing"].query("grape_class == 'viniferas' and year == 2022")
    aggregate = viniferas[viniferas["cultivar"] == "all"].iloc[0]
    assert (aggregate["quantity_kg"], aggregate["status"]) == (99_738_086, "aggregate_only")
    assert pd.isna(aggregate["colour"])
    assert viniferas.set_index("cultivar").loc["merlot", "status"] == "withheld"


def in_year(table: RawTable, position: int, texts: list[str]) -> RawTable:
    """`table` with the cells of one of its years replaced."""
    for row, text in enumerate(texts, 1):
        table = with_cell(table, row, position, text)
    return table


def statuses(frames: dict[str, pd.DataFrame], grape_class: str, year: int) -> set[tuple[float | None, str]]:
    rows = frames["processing"].query("grape_class == @grape_class and year == @year and cultivar != 'all'")
    return set(
        zip(rows["quantity_kg"].astype(object).where(rows["quantity_kg"].notna(), None), rows["status"], strict=True)
    )


def test_year_of_dashes_alone_is_withheld_where_a_footnote_of_any_grapes_says_that_totals_alone_were_released(tables):
    for slug in ("processing_viniferas", "processing_american_hybrid"):
        tables[slug] = in_year(tables[slug], 0, ["-", "-", "-", "-", "-"])
    frames = tidy.tidy(tables, None)
    assert statuses(frames, "viniferas", 2022) == statuses(frames, "american_hybrid", 2022) == {(None, "withheld")}
    group = frames["totals"].query("table == 'processing_american_hybrid' and year == 2022")
    assert set(group["verdict"]) == {"not_available"}


def test_year_of_dashes_alone_is_zero_without_such_a_footnote(tables):
    tables["processing_viniferas"] = dataclasses.replace(
        tables["processing_viniferas"], notes=[Note(2022, "nada [1]")]
    )
    tables["processing_american_hybrid"] = in_year(tables["processing_american_hybrid"], 0, ["-"] * 5)
    assert statuses(tidy.tidy(tables, None), "american_hybrid", 2022) == {(0, "reported")}


def test_dash_beside_a_number_is_zero_whatever_a_footnote_says(tables):
    tables["processing_american_hybrid"] = in_year(tables["processing_american_hybrid"], 0, ["5", "5", "-", "-", "-"])
    assert statuses(tidy.tidy(tables, None), "american_hybrid", 2022) == {(5, "reported"), (0, "reported")}


def test_dash_of_a_trade_page_is_a_published_zero(tables):
    tables["imports_raisins"] = raw("imports_raisins", [(None, "Chile", ["-", "-", "-", "4"])])
    trade = tidy.tidy(tables, None)["trade"].query("product == 'raisins'")
    assert trade[["quantity_kg", "value_usd"]].to_numpy().tolist() == [[0, 0], [0, 4]]
    assert set(trade["quantity_status"]) == {"reported"}


def test_rows_of_equal_key_in_a_group_are_summed_and_missing_is_not_zero(tables):
    mixed = tidy.tidy(tables, None)["processing"].query("grape_class == 'american_hybrid' and cultivar == 'mistura'")
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
    trade = tidy.tidy(tables, None)["trade"]
    russia = trade.query("flow == 'exports' and product == 'table_wine'").set_index("year")
    assert russia["quantity_kg"].tolist() == [11, 3]
    assert set(russia["country_pt"]) == {"Rússia"}


def test_last_year_cuts_every_table(tables):
    frames = tidy.tidy(tables, 2022)
    assert {name: frame["year"].max() for name, frame in frames.items()} == dict.fromkeys(frames, 2022)


def test_last_year_outside_trade_is_refused(tables):
    with pytest.raises(VindimaError, match=r"data.last_year: expected a year of trade from 2022 to 2023, got 2031"):
        tidy.tidy(tables, 2031)


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
        tidy.tidy(tables, None)


def test_unmapped_country_names_table_and_row(tables):
    tables["imports_raisins"] = raw("imports_raisins", [(None, "Atlantida", ["1", "1", "1", "1"])])
    with pytest.raises(VindimaError, match=r"imports_raisins, row 1: no country code for 'Atlantida'"):
        tidy.tidy(tables, None)


def test_unknown_group_names_table_and_row(tables):
    tables["production"] = raw("production", [("VINHO AZUL", "VINHO AZUL", ["1", "1"])])
    with pytest.raises(VindimaError, match=r"production, row 1: expected one of the groups .* got 'VINHO AZUL'"):
        tidy.tidy(tables, None)


def test_unmapped_product_names_table_and_row_and_the_closest(tables):
    rows = [("VINHO DE MESA", "VINHO DE MESA", ["1", "1"]), ("vm_Tintos", "Tintos", ["1", "1"])]
    tables["production"] = raw("production", rows)
    with pytest.raises(VindimaError, match=r"production, row 2: no product for 'Tintos'; .* names are Tinto \(red\)"):
        tidy.tidy(tables, None)


@pytest.mark.parametrize("label", ["Clairette(1)", "Clairette (1)", " Clairette  (1)"])
def test_cultivar_with_a_footnote_mark_is_summed_with_the_one_without(tables, label):
    rows = [("TINTAS", "TINTAS", ["3", "3"]), ("ti_a", "Clairette", ["1", "2"]), ("ti_b", label, ["2", "1"])]
    tables["processing_viniferas"] = raw("processing_viniferas", rows)
    found = tidy.tidy(tables, None)["processing"].query("cultivar == 'clairette'")
    assert found["quantity_kg"].tolist() == [3, 3]
    assert set(found["cultivar_pt"]) == {"Clairette"}


def test_missing_table_is_named(tables):
    del tables["sales"]
    with pytest.raises(VindimaError, match="the raw zone lacks sales"):
        tidy.tidy(tables, None)


def test_download_without_control_column_knows_its_groups_by_their_capitals(tables):
    plain = [dataclasses.replace(row, control=None) for row in tables["production"].rows]
    without = tables | {"production": dataclasses.replace(tables["production"], rows=plain)}
    expected, found = (tidy.tidy(zone, None)["production"] for zone in (tables, without))
    pd.testing.assert_frame_equal(found, expected)


def test_published_columns_of_trade_sum_to_what_the_real_downloads_sum_to(shared_data: Path):
    folder = shared_data / "vitibrasil" / "2025-01_to2023"
    zone = {
        slug: read_download((folder / f"{table.download}.csv").read_bytes(), table) for slug, table in TABLES.items()
    }
    trade = tidy.tidy(zone, None)["trade"]
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


# Two ways, one result: what a page cannot show, and nothing else, may differ.

NUMBERS = {
    "production": [("quantity_l", "status")],
    "sales": [("quantity_l", "status")],
    "processing": [("quantity_kg", "status")],
    "trade": [
        (f"{measure}{suffix}", f"{measure.split('_')[0]}_status")
        for measure in ("quantity_kg", "value_usd")
        for suffix in ("", "_published")
    ],
}
Frames = dict[str, pd.DataFrame]


def beyond_a_page(downloads: Frames, pages: Frames) -> list[str]:
    """Where tidy tables from pages differ from those from downloads by more than a page cannot show; [] for nowhere.

    A page rounds to whole units, and shows `-` for 0, for a blank, for `+` and, but for American and unclassified
    grapes, for `*`. Hence all is equal, row by row and column by column, except that
    - a figure that was published with decimals is rounded (and of the two that a name may stand for, each);
    - what a download leaves blank or marks with `+` is 0, `reported`, from a page, and so is `*` outside
      processing; in processing, in a year of which totals alone were released, it is null, `withheld`;
    - in the totals of a group whose parts were published with decimals, the sum is of rounded parts, and the verdict
      follows the difference.
    """
    found = []
    for name, contract in tidy.CONTRACTS.items():
        ours, theirs = (frames[name].set_index(list(contract.key)) for frames in (downloads, pages))
        if not ours.index.equals(theirs.index):
            found.append(f"{name}: {len(ours)} rows and {len(theirs)}, or other keys")
            continue
        judged = _totals_differ(downloads, ours, theirs) if name == "totals" else _figures_differ(name, ours, theirs)
        words = [str(column) for column in ours if column not in judged]
        judged |= {column: ours[column] != theirs[column] for column in words}
        for column, differs in judged.items():
            found += [f"{name} {key}: {column}" for key in ours.index[differs]]
    return found


def _figures_differ(name: str, ours: pd.DataFrame, theirs: pd.DataFrame) -> dict[str, pd.Series]:
    judged = {}
    for column, status in NUMBERS[name]:
        figure, page, was, is_ = ours[column], theirs[column], ours[status], theirs[status]
        rounding = (figure % 1 != 0).astype(float)
        same = ((figure.isna() & page.isna()) | ((figure - page).abs() <= rounding)) & (was == is_)
        unseen = was.isin(["blank", "marked"] if name == "processing" else ["blank", "marked", "withheld"])
        as_zero = unseen & (page == 0) & (is_ == "reported")
        as_withheld = unseen & page.isna() & (is_ == "withheld") & (name == "processing")
        zero_corrected = figure.isna() & (page == 0) & (was == "corrected") & (is_ == "corrected")
        judged[column] = ~(same | as_zero | as_withheld | zero_corrected)
        judged[status] = judged[column]
    return judged


def _totals_differ(downloads: Frames, ours: pd.DataFrame, theirs: pd.DataFrame) -> dict[str, pd.Series]:
    grapes = downloads["processing"].query("colour.notna()")
    rounded = (
        (grapes["quantity_kg"] % 1 > 0)
        .groupby(["processing_" + grapes["grape_class"], grapes["colour"], grapes["year"]])
        .sum()
    )
    parts = ours.index.map(rounded.rename_axis(ours.index.names).to_dict()).fillna(0).to_numpy()
    allowed = {"published": 0.5 * (parts > 0), "computed": parts / 2, "difference": (parts + 1) / 2 * (parts > 0)}
    judged = {
        column: ~((ours[column].isna() & theirs[column].isna()) | ((ours[column] - theirs[column]).abs() <= most))
        for column, most in allowed.items()
    }
    return judged | {"verdict": (ours["verdict"] != theirs["verdict"]) & (parts == 0)}


def joined(table: Table, pages: list[Page]) -> RawTable:
    """One table from pages of some of its years."""
    assert len({tuple(row.label for row in page.rows) for page in pages}) == 1
    rows = [
        Row(position, None, same[0].label, [cell for row in same for cell in row.cells], same[0].level)
        for position, same in enumerate(zip(*(page.rows for page in pages), strict=True), 1)
    ]
    notes = [Note(page.year, text) for page in pages for text in page.footnotes if aggregates(text)]
    years = [page.year for page in pages]
    return RawTable(table.slug, table.title_pt, table.unit, years, rows, f"index.php?{table.query}", notes)


def in_years(table: RawTable, years: list[int]) -> RawTable:
    """A table cut to some of its years."""
    width = len(TABLES[table.slug].measures)
    places = [table.years.index(year) * width + offset for year in years for offset in range(width)]
    rows = [dataclasses.replace(row, cells=[row.cells[place] for place in places]) for row in table.rows]
    return dataclasses.replace(table, years=years, rows=rows)


@pytest.fixture(scope="module")
def of_the_mirror() -> tuple[dict[str, RawTable], dict[str, RawTable]]:
    """The mirror's 15 tables in every fourth year to 2022, and 2023, from its downloads and from its pages."""
    client = Client(mirror.create_mirror(FIGURES))
    downloads, pages = {}, {}
    for slug, table in TABLES.items():
        download = read_download(client.get(f"/{table.download_path}").data, table)
        download = in_years(download, [year for year in download.years if year % 4 == 2 or year > 2022])
        pages[slug] = joined(
            table,
            [
                read_page(client.get(f"/index.php?{table.query}&ano={year}").data, table, year)
                for year in download.years
            ],
        )
        downloads[slug] = dataclasses.replace(download, notes=pages[slug].notes)
    return downloads, pages


def test_pages_of_the_mirror_give_the_tidy_tables_that_its_downloads_give(of_the_mirror):
    assert all(pages.years == of_the_mirror[0][slug].years for slug, pages in of_the_mirror[1].items())
    downloads, pages = (tidy.tidy(zone, None) for zone in of_the_mirror)
    assert beyond_a_page(downloads, pages) == []
    of_downloads, of_pages = (
        frames["processing"].query("year == 2022")["status"].value_counts() for frames in (downloads, pages)
    )
    assert (of_downloads["marked"], of_downloads["aggregate_only"], of_pages["aggregate_only"]) == (2, 2, 2)
    assert set(of_pages.index) == {"withheld", "aggregate_only"}
    assert of_pages.sum() == of_downloads.sum()


@pytest.mark.parametrize(("vintage", "tables_of_pages"), [("2025-01", 15), ("2025-05", 5)])
def test_saved_pages_give_the_tidy_tables_that_the_downloads_give(shared_data: Path, vintage, tables_of_pages):
    """The trade tables of 2025-05 were updated since the downloads: there the downloads stand on both sides."""
    saved: dict[str, list[Page]] = {}
    for path, table, year in saved_pages(shared_data / "html" / vintage):
        if vintage == "2025-01" or not table.is_trade:
            saved.setdefault(table.slug, []).append(read_page(path.read_bytes(), table, year))
    assert len(saved) == tables_of_pages
    downloads, pages = {}, {}
    for slug, table in TABLES.items():
        data = (shared_data / "vitibrasil" / "2025-01_to2023" / f"{table.download}.csv").read_bytes()
        same = sorted(saved.get(slug, []), key=lambda page: page.year)
        notes = joined(table, same).notes if same else []
        download = in_years(read_download(data, table), [page.year for page in same] or [2023])
        downloads[slug] = dataclasses.replace(download, notes=notes)
        pages[slug] = joined(table, same) if same else downloads[slug]
    assert beyond_a_page(*(tidy.tidy(zone, None) for zone in (downloads, pages))) == []


@pytest.fixture(scope="module")
def of_a_few_years(of_the_mirror) -> tuple[Frames, dict[str, RawTable]]:
    """The tidy tables of three years of downloads, and the pages of the same years."""
    downloads, pages = (
        {slug: in_years(raw, [1970, 2022, 2023]) for slug, raw in zone.items()} for zone in of_the_mirror
    )
    return tidy.tidy(downloads, None), pages


@pytest.mark.parametrize(
    ("slug", "year", "label", "text", "found"),
    [
        ("imports_table_wine", 2023, "Africa do Sul", "7", "trade .*imports.*ZAF.*2023.*: quantity_kg$"),
        ("imports_table_wine", 2023, "Chile", "-", "trade .*imports.*CHL.*2023.*: quantity_kg_published$"),
        ("imports_table_wine", 2023, "Chile", "nd", "trade .*imports.*CHL.*2023.*: quantity_status$"),
        ("production", 1970, "Tinto", "174.224.053", "production .*red.*1970.*: quantity_l$"),
        ("production", 1970, "VINHO DE MESA", "217.208.605", "totals .*table_wine.*1970.*: published$"),
        ("processing_viniferas", 2023, "Alicante Bouschet", "1", "processing .*2023.*: quantity_kg$"),
        ("processing_viniferas", 2023, "TINTAS", "35.881.119", "totals .*red.*2023.*: published$"),
        ("processing_table_grapes", 2022, "Italia", "1", "processing .*italia.*2022.*: status$"),
        ("processing_american_hybrid", 2022, "Isabel", "0", "processing .*isabel.*2022.*: status$"),
    ],
)
def test_one_cell_that_differs_by_more_than_a_page_cannot_show_is_found(
    of_a_few_years, slug, year, label, text, found
):
    downloads, pages = of_a_few_years
    assert beyond_a_page(downloads, tidy.tidy(pages, None)) == []
    row = next(row for row in pages[slug].rows if row.label == label)
    cell = pages[slug].years.index(year) * len(TABLES[slug].measures)
    assert row.cells[cell] != text
    changed = pages | {slug: with_cell(pages[slug], row.row, cell, text)}
    differences = beyond_a_page(downloads, tidy.tidy(changed, None))
    assert [line for line in differences if re.search(found, line)]
