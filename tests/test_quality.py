"""The checks: what each finds odd, what it lets pass, what the real figures give; and the counts."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vindima import paths
from vindima.errors import VindimaError
from vindima.etl import corrections, quality, schemas, tidy
from vindima.ingestion import raw_zone, site
from vindima.ingestion.catalogue import TABLES
from vindima.ingestion.parse import RawTable


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RawTable]:
    """The bundled vintage as a collection from the mirror gives it, the footnotes of 2022 among it."""
    folder = tmp_path_factory.mktemp("collected") / "raw"
    site.collect(raw_dir=folder)
    return raw_zone.read(folder)[1]


@pytest.fixture(scope="module")
def published(raw: dict[str, RawTable]) -> dict[str, pd.DataFrame]:
    return tidy.tidy(raw, None)


@pytest.fixture(scope="module")
def unexplained(raw: dict[str, RawTable], published: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return quality.flags(published, raw)


@pytest.fixture(scope="module")
def flags(unexplained: pd.DataFrame, published: dict[str, pd.DataFrame]) -> pd.DataFrame:
    register = corrections.register(paths.FIGURES)
    left = quality.reviewed(paths.FIGURES, corrections.findings(paths.FIGURES))
    return schemas.validate(quality.explained(unexplained, published, register, left), schemas.FLAGS)


def wine(years: range, **more: object) -> pd.DataFrame:
    """Imports of wine from Chile: 10 tonnes a year at 2 US$/kg, give or take."""
    noise = np.random.default_rng(7).uniform(0.9, 1.1, len(years))
    frame = pd.DataFrame({"flow": "imports", "product": "table_wine", "country": "CHL", "year": list(years)})
    kg = np.round(10_000 * noise[::-1])
    return frame.assign(quantity_kg_published=kg, value_usd_published=np.round(2 * kg * noise)).assign(**more)


def flagged(trade: pd.DataFrame, **collected: RawTable) -> pd.DataFrame:
    """The flags of a source that has this trade, these collected tables and nothing else."""
    nothing = {name: schemas.frame([], contract) for name, contract in tidy.CONTRACTS.items()}
    raw = {slug: RawTable(slug, table.title_en, table.unit, [], [], "") for slug, table in TABLES.items()}
    return quality.flags(nothing | {"trade": trade}, raw | collected)


def found(trade: pd.DataFrame, *checks: str) -> set[tuple]:
    """(country, year, measure) that these checks flag."""
    rows = flagged(trade)
    rows = rows[rows["check"].isin(checks)]
    return set(rows[["item", "year", "measure"]].itertuples(index=False, name=None))


def changed(trade: pd.DataFrame, year: int, kg: float, usd: float) -> pd.DataFrame:
    columns = ["quantity_kg_published", "value_usd_published"]
    there = trade.copy()
    there.loc[there["year"] == year, columns] = [kg, usd]
    return there


def test_calm_series_has_nothing_odd():
    trade = wine(range(2000, 2020))
    assert not any(
        found(trade, check)
        for check in (
            "outside_range",
            "jump",
            "filler",
            "kg_equals_usd",
            "value_without_quantity",
            "quantity_without_value",
        )
    )


def test_unit_value_far_from_the_years_around_is_outside_the_range():
    trade = changed(wine(range(2000, 2020)), 2010, 10_000, 90_000)
    assert found(trade, "outside_range") == {("CHL", 2010, "price_usd_kg")}
    assert ("CHL", 2010, "price_usd_kg") in found(trade, "jump")


def test_unit_value_within_a_factor_of_two_is_never_outside():
    assert not found(changed(wine(range(2000, 2020)), 2010, 10_000, 36_000), "outside_range")


def test_country_with_few_years_is_compared_with_all_countries():
    alone = wine(range(2010, 2011), country="ARG", value_usd_published=900_000.0)
    assert found(pd.concat([wine(range(2000, 2020)), alone]), "outside_range") == {("ARG", 2010, "price_usd_kg")}


def test_range_that_was_expected_is_told_in_the_unit_of_the_figure():
    rows = flagged(changed(wine(range(2000, 2020)), 2010, 10_000, 90_000)).query("check == 'outside_range'")
    [(figure, low, high)] = rows[["figure", "low", "high"]].itertuples(index=False, name=None)
    assert figure == pytest.approx(9)
    assert 0.9 < low < 1.1
    assert 3.6 < high < 4.4


def test_quantity_that_leaps_from_both_years_beside_it_jumps_and_a_new_level_does_not():
    trade = wine(range(2000, 2020))
    assert found(changed(trade, 2010, 900_000, 1_800_000), "jump") == {("CHL", 2010, "quantity_kg")}
    level = trade.assign(quantity_kg_published=trade["quantity_kg_published"].where(trade["year"] < 2010, 900_000))
    level["value_usd_published"] = 2 * level["quantity_kg_published"]
    assert not found(level, "jump")


def test_year_beside_a_year_without_a_figure_is_compared_across_the_gap():
    trade = changed(wine(range(2000, 2020)), 2010, 900_000, 1_800_000)
    assert found(trade[trade["year"] != 2011], "jump") == {("CHL", 2010, "quantity_kg")}
    fall = changed(trade.assign(quantity_kg_published=1_000 * trade["quantity_kg_published"]), 2010, 1_000, 0.2)
    assert ("CHL", 2010, "quantity_kg") in found(fall[fall["year"] != 2011], "jump")
    assert ("CHL", 2010, "quantity_kg") not in found(fall[~fall["year"].isin([2011, 2012])], "jump")


def test_rows_exchanged_for_two_years_jump_in_both_and_three_years_are_a_level():
    trade = wine(range(2000, 2020))
    two = changed(changed(trade, 2010, 900_000, 1_800_000), 2011, 500_000, 1_000_000)
    assert found(two, "jump") == {("CHL", 2010, "quantity_kg"), ("CHL", 2011, "quantity_kg")}
    more = trade.assign(quantity_kg_published=10 * trade["quantity_kg_published"])
    few = changed(changed(more, 2010, 1_000, 200), 2011, 1_100, 220)
    assert found(few, "jump") == {("CHL", 2010, "quantity_kg"), ("CHL", 2011, "quantity_kg")}
    assert not found(changed(two, 2012, 700_000, 1_400_000), "jump")


def test_large_lot_without_a_year_beside_it_jumps_and_a_small_or_usual_one_does_not():
    trade = wine(range(2000, 2020))
    sparse = trade[trade["year"].isin([2005, 2006, 2007, 2010, 2013, 2014])]
    assert found(changed(sparse, 2010, 900_000, 1_800_000), "jump") == {("CHL", 2010, "quantity_kg")}
    assert not found(sparse, "jump")
    more = sparse.assign(quantity_kg_published=1_000 * sparse["quantity_kg_published"])
    assert not found(changed(more, 2010, 1_000, 0.2), "jump")
    assert not found(changed(sparse[sparse["year"] > 2006], 2010, 900_000, 1_800_000), "jump")


def test_side_without_the_other_is_flagged_and_an_empty_year_is_not():
    trade = changed(changed(changed(wine(range(2000, 2020)), 2005, 0, 43), 2006, 770, 0), 2007, 0, 0)
    assert found(trade, "value_without_quantity", "quantity_without_value") == {
        ("CHL", 2005, "value_usd"),
        ("CHL", 2006, "quantity_kg"),
    }


def test_kilograms_equal_to_dollars_are_flagged_from_a_tonne_on():
    trade = changed(changed(wine(range(2000, 2020)), 2005, 5_000, 5_000), 2006, 900, 900)
    assert found(trade, "kg_equals_usd") == {("CHL", 2005, "quantity_kg")}


def test_pair_that_two_years_or_two_countries_share_is_flagged():
    trade = changed(changed(wine(range(2000, 2020)), 2005, 18_550, 36_173), 2009, 18_550, 36_173)
    other = changed(wine(range(2000, 2020), country="ARG", quantity_kg_published=5.0), 2009, 18_550, 36_173)
    assert {key[:2] for key in found(pd.concat([trade, other.query("year == 2009")]), "filler")} == {
        ("CHL", 2005), ("CHL", 2009), ("ARG", 2009)
    }  # fmt: skip


def test_small_pair_is_a_filler_only_in_three_countries_of_a_year():
    rows = [changed(wine(range(2016, 2017), country=code), 2016, 0, 43) for code in ("LUX", "NLD", "IRL")]
    assert len(found(pd.concat(rows), "filler")) == 3
    assert not found(pd.concat(rows[:2]), "filler")


@pytest.mark.parametrize(
    ("check", "table", "item", "year"),
    [
        ("outside_range", "exports_table_wine", "RUS", 2013),
        ("jump", "exports_table_wine", "RUS", 2013),
        ("jump", "exports_table_wine", "ESP", 2013),
        ("jump", "imports_table_wine", "AUS", 2018),
        ("jump", "imports_table_wine", "AUT", 2018),
        ("outside_range", "imports_table_wine", "AUS", 2019),
        ("outside_range", "imports_table_wine", "AUT", 2019),
        ("outside_range", "exports_fresh_grapes", "CHL", 2016),
        ("outside_range", "imports_sparkling_wine", "OTHER", 1973),
        ("jump", "imports_sparkling_wine", "USA", 2017),
        ("jump", "imports_sparkling_wine", "FRA", 2018),
        ("outside_range", "imports_sparkling_wine", "FRA", 2001),
        ("jump", "imports_table_wine", "BRA", 2017),
        ("jump", "imports_sparkling_wine", "BRA", 2018),
        ("jump", "production", "table_wine/red", 2017),
        ("jump", "processing_viniferas", "red/aspirant_bouschet", 2021),
        ("jump", "processing_american_hybrid", "red/seibel", 2003),
        ("filler", "imports_table_wine", "LUX", 2016),
        ("filler", "exports_grape_juice", "MYS", 2005),
        ("filler", "exports_grape_juice", "NOR", 1990),
        ("kg_equals_usd", "exports_table_wine", "NOR", 2007),
        ("kg_equals_usd", "imports_fresh_grapes", "PRY", 1992),
        ("value_without_quantity", "exports_table_wine", "CMR", 2020),
        ("quantity_without_value", "imports_table_wine", "AUT", 2001),
        ("repeated_total", "processing_american_hybrid", "all", 2022),
        ("near_duplicate_row", "processing_viniferas", "white_and_rose/viognier", 2023),
        ("total_differs", "sales", "other", 2012),
    ],
)
def test_known_error_of_the_source_is_flagged_and_explained(
    flags: pd.DataFrame, check: str, table: str, item: str, year: int
):
    rows = flags.query("check == @check and table == @table and item == @item and year == @year")
    assert len(rows) >= 1
    assert rows["finding"].notna().all()


def test_every_total_that_does_not_add_up_is_explained(flags: pd.DataFrame, published: dict[str, pd.DataFrame]):
    totals = flags[flags["check"] == "total_differs"]
    assert len(totals) == (published["totals"]["verdict"] == "differs").sum() == 23
    assert totals["finding"].notna().all()


def test_checks_flag_a_small_part_of_the_prices(flags: pd.DataFrame, published: dict[str, pd.DataFrame]):
    trade = published["trade"]
    priced = ((trade["quantity_kg"] > 0) & (trade["value_usd"] > 0)).sum()
    assert (flags["check"] == "outside_range").sum() / priced < 0.04
    assert set(flags["check"]) == set(schemas.CHECKS) - {"duplicate_row"}


def test_flags_are_those_of_the_published_figures_whatever_is_corrected(
    raw: dict[str, RawTable], published: dict[str, pd.DataFrame], unexplained: pd.DataFrame
):
    in_use = corrections.apply(published["trade"], corrections.register(paths.FIGURES), "all")
    pd.testing.assert_frame_equal(quality.flags(published | {"trade": in_use}, raw), unexplained)


def test_label_that_stands_twice_under_a_group_is_a_duplicate(raw: dict[str, RawTable]):
    sales = raw["sales"]
    again = dataclasses.replace(sales.rows[1], cells=["7", *sales.rows[1].cells[1:]])
    twice = dataclasses.replace(sales, rows=[*sales.rows[:2], again, *sales.rows[2:]])
    rows = flagged(wine(range(2020, 2025)), sales=twice).query("check == 'duplicate_row'")
    assert rows[["table", "item", "year"]].to_numpy().tolist() == [["sales", "table_wine/red", 1970]]


def test_label_that_stands_three_times_under_a_group_is_flagged_once(raw: dict[str, RawTable]):
    sales = raw["sales"]
    again = [dataclasses.replace(sales.rows[1], cells=[first, *sales.rows[1].cells[1:]]) for first in "78"]
    thrice = dataclasses.replace(sales, rows=[*sales.rows[:2], *again, *sales.rows[2:]])
    flags = flagged(wine(range(2020, 2025)), sales=thrice).assign(finding=None)
    rows = schemas.validate(flags, schemas.FLAGS).query("check == 'duplicate_row'")
    assert rows[["table", "item", "year"]].to_numpy().tolist() == [["sales", "table_wine/red", 1970]]


def test_rows_with_the_same_figures_in_every_year_are_duplicates_whatever_their_labels(raw: dict[str, RawTable]):
    sales = raw["sales"]
    red = sales.rows[1]
    again = dataclasses.replace(red, label="  Jeropiga", cells=["0", "0", *red.cells[2:]])
    same = dataclasses.replace(again, label="  Pisco")
    twice = dataclasses.replace(sales, rows=[*sales.rows[:2], again, same, *sales.rows[2:]])
    rows = flagged(wine(range(2020, 2025)), sales=twice).query("check == 'duplicate_row'")
    assert rows[["table", "item", "year"]].to_numpy().tolist() == [["sales", "table_wine/pisco", 1972]]


@pytest.mark.parametrize(("last_year", "times"), [(2021, 0), (2023, 1), (2024, 1)])
def test_misspelt_row_is_flagged_in_its_first_year_however_many_years_there_are(
    raw: dict[str, RawTable], last_year: int, times: int
):
    viniferas = raw["processing_viniferas"]
    rows = flagged(wine(range(2015, last_year + 1)), processing_viniferas=viniferas)
    assert rows.query("check == 'near_duplicate_row'")["year"].tolist() == [2023] * times


def test_correction_explains_a_flag_before_a_reviewed_entry(published: dict[str, pd.DataFrame]):
    flagged = pd.DataFrame({"table": "exports_table_wine", "item": ["RUS", "CHN", "CHN"], "year": [2013, 2013, 2014]})
    register = pd.DataFrame(
        {"table": ["exports_table_wine"], "country": ["RUS"], "year": [2013], "finding": ["swap"]}
    )
    left = pd.DataFrame(
        {"finding": ["odd"], "table": ["exports_table_wine"], "item": [""], "first_year": [2013], "last_year": [2013]}
    )
    assert quality.explained(flagged, published, register, left)["finding"].tolist() == ["swap", "odd", None]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("viogner,processing,x,2023,2023", "line 2: expected one of the tables .* got 'processing'"),
        ("exchanged_2013,sales,other,2012,2013", "line 2: expected a finding .* that is left, got 'exchanged_2013'"),
        ("viogner,sales,other,2014,2013", "line 2: expected two years, got '2014' and '2013'"),
        ("viogner,sales,other,now,2013", "line 2: expected two years, got 'now' and '2013'"),
    ],
)
def test_bad_reviewed_entry_is_refused_by_name(tmp_path: Path, line: str, message: str):
    (tmp_path / "reviewed.csv").write_text(f"finding,table,item,first_year,last_year\n{line}\n", encoding="utf-8")
    with pytest.raises(VindimaError, match=message):
        quality.reviewed(tmp_path, corrections.findings(paths.FIGURES))


def test_reviewed_entry_whose_row_is_gone_is_refused_by_name(published: dict[str, pd.DataFrame]):
    gone = pd.DataFrame(
        {
            "finding": ["odd"],
            "table": ["sales"],
            "item": ["other/absinthe"],
            "first_year": [2013],
            "last_year": [2013],
        }
    )
    flagged = pd.DataFrame({"table": ["sales"], "item": ["other"], "year": [2013]})
    with pytest.raises(VindimaError, match="odd explains sales, other/absinthe, but that table has no such row"):
        quality.explained(flagged, published, corrections.register(paths.FIGURES), gone)


def test_reviewed_entry_without_a_flag_is_refused_by_name_but_in_the_years_that_are_still_open(
    published: dict[str, pd.DataFrame],
):
    flagged = pd.DataFrame({"table": ["sales"], "item": ["other"], "year": [2013]})
    entry = pd.DataFrame({"finding": ["odd"], "table": ["sales"], "item": ["table_wine"], "first_year": [2007]})
    register = corrections.register(paths.FIGURES)
    settled = int(published["trade"]["year"].max()) - quality.NEIGHBOURS
    with pytest.raises(
        VindimaError, match=f"odd explains sales, table_wine, 2007 to {settled}, where nothing is odd"
    ):
        quality.explained(flagged, published, register, entry.assign(last_year=settled))
    assert (
        quality.explained(flagged, published, register, entry.assign(last_year=settled + 1))["finding"].isna().all()
    )


@pytest.mark.parametrize("last_year", [1985, 2013, 2022])
def test_review_of_the_project_holds_whatever_the_last_year(raw: dict[str, RawTable], last_year: int):
    frames = tidy.tidy(raw, last_year)
    left = quality.reviewed(paths.FIGURES, corrections.findings(paths.FIGURES))
    flagged = quality.flags(frames, raw)
    explained = quality.explained(flagged, frames, corrections.register(paths.FIGURES), left)
    assert explained.loc[explained["check"] == "total_differs", "finding"].notna().all()
    assert explained["year"].max() <= last_year


def test_counts_are_of_published_cells_and_of_cells_in_use_that_are_another_figure(
    raw: dict[str, RawTable], published: dict[str, pd.DataFrame]
):
    trade = corrections.apply(published["trade"], corrections.register(paths.FIGURES), "all")
    counts = quality.counts(raw, trade, 2023)
    assert len(counts) == 15 * len(range(1970, 2024))
    assert (counts[list(schemas.KINDS)].sum(axis=1) == counts["cells"]).all()
    wine = counts.set_index(["table", "year"]).loc[("exports_table_wine", 2013)]
    assert wine["rows"] * 2 == wine["cells"]
    assert wine["corrected"] == 8  # Russia, Spain, Paraguay, China: kilograms and dollars
    grapes = counts.query("year == 2022").set_index("table").loc["processing_viniferas"]
    assert grapes["withheld"] > 0
    assert grapes["withheld"] + grapes["blank"] == grapes["cells"]
    assert quality.counts(raw, trade, 1999)["year"].max() == 1999
