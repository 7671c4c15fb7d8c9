"""Exports of wine beside Comex Stat: what agrees, what does not, before and after the corrections."""

from pathlib import Path

import pandas as pd
import pytest

from vindima import paths
from vindima.errors import VindimaError
from vindima.etl import corrections, crosscheck, schemas, tidy
from vindima.etl.countries import country_code
from vindima.ingestion import figures


def wine(*rows: tuple) -> pd.DataFrame:
    """Exports of wine as published: country, year, kg, US$."""
    frame = pd.DataFrame(rows, columns=["country", "year", "quantity_kg", "value_usd"])
    published = frame.assign(quantity_kg_published=frame["quantity_kg"], value_usd_published=frame["value_usd"])
    return published.assign(flow="exports", product="table_wine")


def theirs(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["country", "year", "quantity_kg", "value_usd"])


def verdicts(trade: pd.DataFrame, other: pd.DataFrame, column: str = "verdict") -> dict:
    return crosscheck.crosscheck(trade, other).set_index(["country", "year"])[column].to_dict()


def test_figures_are_equal_where_both_measures_are():
    trade = wine(("CHL", 2010, 5.0, 9.0), ("PRY", 2010, 5.0, 9.0), ("URY", 2010, 5.0, 9.0))
    other = theirs(("CHL", 2010, 5.0, 9.0), ("PRY", 2010, 5.0, 8.0), ("URY", 2010, 4.0, 9.0))
    assert verdicts(trade, other) == {("CHL", 2010): "equal", ("PRY", 2010): "differs", ("URY", 2010): "differs"}


def test_trade_that_one_source_lacks_is_said():
    trade = wine(("CPV", 2010, 5.0, 9.0), ("CAN", 2010, 0.0, 0.0), ("PER", 2010, 0.0, 0.0))
    other = theirs(("CAN", 2010, 5.0, 9.0), ("COD", 2010, 1.0, 2.0))
    assert verdicts(trade, other) == {
        ("CPV", 2010): "only_vitibrasil",
        ("CAN", 2010): "only_comexstat",
        ("COD", 2010): "only_comexstat",
    }


def test_published_and_used_figures_are_judged_apart():
    trade = wine(("RUS", 2010, 0.0, 0.0)).assign(quantity_kg=5.0, value_usd=9.0)
    other = theirs(("RUS", 2010, 5.0, 9.0))
    assert verdicts(trade, other, "verdict_published") == {("RUS", 2010): "only_comexstat"}
    assert verdicts(trade, other) == {("RUS", 2010): "equal"}


def test_only_years_of_both_and_only_exports_of_wine_are_compared():
    trade = wine(("CHL", 1999, 5.0, 9.0), ("CHL", 2010, 5.0, 9.0))
    other = theirs(("CHL", 2010, 5.0, 9.0), ("CHL", 2011, 5.0, 9.0))
    imports = trade.assign(flow="imports", quantity_kg=1.0)
    assert verdicts(pd.concat([trade, imports]), other) == {("CHL", 2010): "equal"}


def test_country_that_the_table_names_twice_is_summed():
    bundled = crosscheck.comexstat(paths.FIGURES).set_index(["country", "year"])
    assert bundled.loc[("CUW", 2017)].tolist() == [17_742, 31_561]
    assert bundled.index.is_unique


def test_name_that_nobody_mapped_is_refused_with_its_file(tmp_path: Path):
    (tmp_path / crosscheck.COMEXSTAT).write_text(
        "year,country_pt,quantity_kg,value_usd\n2000,Atlântida,1,1\n", encoding="utf-8"
    )
    with pytest.raises(VindimaError, match=r"comexstat_exports.csv: no country code for 'Atlântida'"):
        crosscheck.comexstat(tmp_path)


@pytest.fixture(scope="module")
def checked() -> pd.DataFrame:
    tables = {name: bundled.table for name, bundled in figures.read(paths.FIGURES).tables.items()}
    trade = corrections.apply(tidy.tidy(tables, None)["trade"], corrections.register(paths.FIGURES), "all")
    frame = crosscheck.crosscheck(trade, crosscheck.comexstat(paths.FIGURES))
    return schemas.validate(frame, schemas.CROSSCHECK)


def test_691_of_905_country_years_agree_as_published_and_748_corrected(checked: pd.DataFrame):
    """By ISO code: Antilhas Holandesas and Curaçao, which both sources print apart in 2017, are one country here."""
    assert len(checked) == 905
    assert (checked["verdict_published"] == "equal").sum() == 691
    assert (checked["verdict"] == "equal").sum() == 748


def test_what_still_differs_is_small(checked: pd.DataFrame):
    rest = checked[(checked["verdict"] != "equal") & ~checked["country"].isin(["COG", "COD"])]
    for measure in crosscheck.MEASURES:
        ours, other = rest[measure].fillna(0), rest[f"{measure}_comexstat"].fillna(0)
        gap = (ours - other).abs()
        assert ((gap <= 0.01 * pd.concat([ours, other], axis=1).max(axis=1)) | (gap < 500)).all()


def test_corrected_totals_of_the_years_that_were_wrong_are_those_of_comex_stat(checked: pd.DataFrame):
    by_year = checked.groupby("year").sum(numeric_only=True).loc[[2001, 2009, 2010, 2013]]
    assert by_year["quantity_kg"].to_numpy() == pytest.approx(by_year["quantity_kg_comexstat"].to_numpy(), rel=1e-4)
    assert by_year["value_usd"].to_numpy() == pytest.approx(by_year["value_usd_comexstat"].to_numpy(), rel=3e-4)
    price = by_year["value_usd"] / by_year["quantity_kg"]
    assert price.loc[2013] == pytest.approx(0.61, abs=0.005)
    assert price.loc[2010] == pytest.approx(0.52, abs=0.005)


def test_692_of_906_country_years_agree_where_names_that_both_print_apart_stay_apart(shared_data: Path):
    """The same count from the files themselves: the two Congos apart, Antilhas Holandesas and Curaçao too."""

    def key(name: str) -> str:
        return "ANT" if name == "Antilhas Holandesas" else country_code(name)

    other = pd.read_csv(shared_data / "comexstat" / "exp_vinho_cuci11217_anual_2000_2022.csv", sep=";")
    names = other["Países"].map(key)
    theirs = other.groupby([names, "Ano"])[["Quilograma Líquido", "Valor FOB (US$)"]].sum()
    wide = pd.read_csv(shared_data / "vitibrasil" / "2025-01_to2023" / "ExpVinho.csv", sep=None, engine="python")
    by_key = wide.iloc[:, 2:].groupby(wide["País"].map(key)).sum()
    ours = {
        (country, year): (row[str(year)], row[f"{year}.1"])
        for country, row in by_key.iterrows()
        for year in range(2000, 2023)
        if row[str(year)] or row[f"{year}.1"]
    }
    expected = {cell: tuple(figures) for cell, figures in zip(theirs.index, theirs.to_numpy(), strict=True)}
    assert len(ours.keys() | expected.keys()) == 906
    assert sum(figures == expected.get(cell) for cell, figures in ours.items()) == 692


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("2000,Chile,x,1", "line 2: expected a number in quantity_kg, got 'x'"),
        ("2000,Chile,1,", "line 2: expected a number in value_usd, got ''"),
        ("MM,Chile,1,1", "line 2: expected a number in year, got 'MM'"),
    ],
)
def test_figure_of_comex_stat_that_is_no_number_is_named_with_its_line(tmp_path: Path, line: str, complaint: str):
    (tmp_path / crosscheck.COMEXSTAT).write_text(f"year,country_pt,quantity_kg,value_usd\n{line}\n")
    with pytest.raises(VindimaError, match=complaint):
        crosscheck.comexstat(tmp_path)
