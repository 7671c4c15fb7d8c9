"""Nowcasts: a year's price from its first months, out of sample, beside the price so far and the yearly forecast."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from vindima.cli import main
from vindima.errors import VindimaError
from vindima.etl import microdata, schemas
from vindima.forecasting import nowcast
from vindima.quantiles import QUANTILES

COUNTRIES = ("ARG", "CHL", "ESP", "FRA", "ITA", "PRT", "URY", "USA")
FIRST, LAST = 2006, 2020


def lines(last_month: int = 12, noise: float = 0.3) -> pd.DataFrame:
    """Monthly sums of eight countries: a price that moves each year, and months that stray from it by `noise`."""
    random = np.random.default_rng(11)
    rows = []
    for place, country in enumerate(COUNTRIES):
        price = np.log(3 + place)
        for year in range(FIRST, LAST + 1):
            price += random.normal(0, 0.2)
            for month in range(1, 13):
                kg = 5000 * np.exp(random.normal(0, 0.5))
                strays = random.normal(0, noise)
                if (year, month) <= (LAST, last_month):
                    rows.append((country, year, month, kg, kg * np.exp(price + strays)))
    table = pd.DataFrame(rows, columns=["country", "year", "month", "quantity_kg", "value_usd"])
    return table.assign(flow="imports", product="table_wine").astype({"year": "int16", "month": "int16"})


def monthly(sums: pd.DataFrame) -> pd.DataFrame:
    return microdata.unit_values(sums)["monthly"]


@pytest.fixture(scope="module")
def history() -> pd.DataFrame:
    return nowcast.nowcast(monthly(lines()))[0]


def test_actual_and_price_so_far_are_unit_values_of_the_lines(history: pd.DataFrame):
    sums = lines()
    chile = sums[(sums["country"] == "CHL") & (sums["year"] == 2015)]
    quarter = chile[chile["month"] <= 3]
    row = history.query("series == 'imports.table_wine.CHL' and year == 2015 and months == 3").set_index("model")
    assert row.loc["nowcast", "actual"] == pytest.approx(chile["value_usd"].sum() / chile["quantity_kg"].sum())
    so_far = quarter["value_usd"].sum() / quarter["quantity_kg"].sum()
    assert row.loc["months_so_far", "forecast"] == pytest.approx(so_far, rel=1e-5)
    before = sums[(sums["country"] == "CHL") & (sums["year"] == 2014)]
    naive = before["value_usd"].sum() / before["quantity_kg"].sum()
    assert row.loc["naive", "forecast"] == pytest.approx(naive, rel=1e-5)


def test_nowcast_is_better_than_the_yearly_forecast_and_narrows_as_months_come(history: pd.DataFrame):
    scores = nowcast.scores(history).query("group == 'all'").set_index(["months", "model"])
    ours = scores.xs("nowcast", level="model")
    assert (ours["mae_rel_yearly"] < 0.8).all()
    assert ours["mae"].is_monotonic_decreasing
    assert ours["width_80"].is_monotonic_decreasing
    assert ours["width_80"].iloc[-1] < 0.6 * ours["width_80"].iloc[0]
    assert (ours["mae"] <= 1.02 * scores.xs("months_so_far", level="model")["mae"]).all()
    assert ours["coverage_80"].between(0.7, 0.92).all()
    assert ours["coverage_95"].between(0.88, 1).all()
    assert (scores.xs("yearly", level="model")["mae_rel_yearly"] == 1).all()
    assert scores.drop("nowcast", level="model")["coverage_80"].isna().all()


@pytest.mark.parametrize(("year", "months"), [(2016, 3), (2018, 6)])
def test_nothing_after_the_known_months_enters(history: pd.DataFrame, year: int, months: int):
    changed = lines()
    later = (changed["year"] > year) | ((changed["year"] == year) & (changed["month"] > months))
    changed.loc[later, ["quantity_kg", "value_usd"]] *= np.array([7.0, 100.0])
    again = nowcast.nowcast(monthly(changed))[0]
    made = ["series", "year", "months", "model", "forecast", *QUANTILES]
    known = f"year < {year} or (year == {year} and months <= {months})"
    before, after = (table.query(known)[made].reset_index(drop=True) for table in (history, again))
    assert len(before) > 50
    pd.testing.assert_frame_equal(before, after)
    assert not history["forecast"].equals(again["forecast"])


def test_order_of_rows_changes_nothing(history: pd.DataFrame):
    shuffled = monthly(lines()).sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(nowcast.nowcast(shuffled)[0], history)


def test_year_that_runs_is_nowcast_from_the_months_that_are_there(history: pd.DataFrame):
    past, ahead = nowcast.nowcast(monthly(lines(last_month=6)))
    assert past["year"].max() == LAST - 1
    assert set(zip(ahead["year"], ahead["months"], strict=True)) == {(LAST, 6)}
    assert "actual" not in ahead
    whole = history.query(f"year == {LAST} and months == 6")
    both = ahead.merge(whole, on=["series", "year", "months", "model"], suffixes=("", "_whole"))
    assert len(both) == len(whole) == 4 * (len(COUNTRIES) + 1)
    np.testing.assert_allclose(both["forecast"], both["forecast_whole"], rtol=2e-3)
    ours = ahead[ahead["model"] == "nowcast"]
    assert (ours["q025"] < ours["q10"]).all()
    assert (ours["q10"] < ours["forecast"]).all()
    assert (ours["forecast"] < ours["q90"]).all()


def test_series_without_trade_so_far_keeps_its_yearly_forecast():
    sums = lines()
    gone = (sums["country"] == "URY") & (sums["year"] == 2019) & (sums["month"] <= 3)
    table = nowcast.nowcast(monthly(sums[~gone]))[0]
    row = table.query("series == 'imports.table_wine.URY' and year == 2019 and months == 3").set_index("model")
    assert row.loc["nowcast", "forecast"] == row.loc["yearly", "forecast"] == row.loc["months_so_far", "forecast"]


def test_what_cannot_be_nowcast_is_said():
    with pytest.raises(VindimaError, match=r"months from 1 to 11, got \[0, 3\]"):
        nowcast.nowcast(monthly(lines()), [3, 0])
    short = lines().query("year >= 2016")
    with pytest.raises(VindimaError, match="expected a series with 5 whole years of 1,000 kg, got none up to 2020"):
        nowcast.nowcast(monthly(short))
    both = pd.concat([lines(), lines(last_month=6).assign(flow="exports")])
    with pytest.raises(VindimaError, match="exports up to 2019, imports up to 2020"):
        nowcast.nowcast(monthly(both))


def test_command_writes_the_tables_and_says_how_it_did(tmp_path: Path):
    table = tmp_path / "monthly.parquet"
    schemas.write(monthly(lines(last_month=6)), schemas.MONTHLY, table)
    result = CliRunner().invoke(main, ["nowcast", str(table)])
    assert result.exit_code == 0, result.output
    assert "2020, 6 months known" in result.output
    assert "imports.table_wine.CHL" in result.output
    assert len(pd.read_parquet(tmp_path / "nowcast.parquet")) == 4 * (len(COUNTRIES) + 1)
    scored = pd.read_csv(tmp_path / "nowcast_scores.csv")
    assert set(scored["model"]) == set(nowcast.MODELS)


def test_exports_of_wine_out_of_sample(shared_data: Path):
    """The table of the README: the exports of wine by Comex Stat, 2009 to 2022."""
    sums = microdata.monthly_sums([shared_data / "comexstat" / "exp_vinho_cuci11217_mensal_2000_2022.csv"])
    scores = nowcast.scores(nowcast.nowcast(monthly(sums))[0]).query("group == 'all'").set_index(["months", "model"])
    ours, so_far = (scores.xs(model, level="model") for model in ("nowcast", "months_so_far"))
    assert (ours["n_forecasts"] > 300).all()
    assert ours.loc[3, "mae"] < 0.96 * so_far.loc[3, "mae"]
    assert (ours["mae"] < 1.03 * so_far["mae"]).all()
    assert ours["mae_rel_yearly"].tolist() == pytest.approx([0.77, 0.57, 0.31], abs=0.01)
    assert ours["coverage_80"].between(0.77, 0.89).all()
    assert ours["coverage_95"].between(0.93, 0.99).all()
