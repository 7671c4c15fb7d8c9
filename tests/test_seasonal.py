"""Monthly forecasts: a season that all series of a product share, where there is one, beside ready-made methods."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from vindima.cli import main
from vindima.errors import VindimaError
from vindima.etl import microdata, schemas
from vindima.forecasting import seasonal, yearly
from vindima.forecasting.level import LocalLevel
from vindima.forecasting.seasonal import SeasonalLevel
from vindima.quantiles import QUANTILES

COUNTRIES = ("ARG", "CHL", "ESP", "FRA")
FIRST = pd.Period("2010-01", freq="M")
SEASON = 0.3 * np.cos(2 * np.pi * np.arange(12) / 12)
"""Dear in January, cheap in July."""
GIVEN = {"level_sd": 0.02, "noise_sd": 0.1, "volume_power": 0.001, "scale_df": 20.0}
"""As the prices of these tests are made, so that only the season is estimated."""


def sums(season: np.ndarray = SEASON, years: int = 10, product: str = "fresh_grapes") -> pd.DataFrame:
    """Monthly sums of four countries: a price that wanders, a season, noise, and a month in ten without trade."""
    random = np.random.default_rng(7)
    rows = []
    for place, country in enumerate(COUNTRIES):
        level = np.log(2 + place) + np.cumsum(random.normal(0, 0.02, 12 * years))
        for step in range(12 * years):
            month = FIRST + step
            kg = 20_000 * np.exp(random.normal(0, 0.5))
            price = np.exp(level[step] + season[month.month - 1] + random.normal(0, 0.1))
            if random.random() > 0.1:
                rows.append((country, month.year, month.month, kg, kg * price))
    table = pd.DataFrame(rows, columns=["country", "year", "month", "quantity_kg", "value_usd"])
    return table.assign(flow="imports", product=product).astype({"year": "int16", "month": "int16"})


def monthly(lines: pd.DataFrame) -> pd.DataFrame:
    return microdata.unit_values(lines)["monthly"]


def fitted(table: pd.DataFrame, **given: float) -> SeasonalLevel:
    cutoff = pd.Period("2019-12", freq="M")
    log_prices, beside = seasonal.panel(table, seasonal.eligible(table, cutoff), cutoff)
    return SeasonalLevel(**GIVEN | given).fit(log_prices, X=beside)


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seasonal, "WARM_UP", 8)
        patch.setitem(seasonal.SEASONAL, "level", lambda: LocalLevel(**GIVEN))
        patch.setitem(seasonal.SEASONAL, "seasonal_level", lambda: SeasonalLevel(**GIVEN))
        yield


@pytest.fixture(scope="module")
def tested(_quick) -> pd.DataFrame:
    return seasonal.backtest(monthly(sums(years=7)), [1, 6])


def test_season_is_found_as_it_was_made():
    model = fitted(monthly(sums()))
    december_first = np.roll(SEASON, 1)  # the row of the month of the cutoff is the first
    assert model.season_.shape == (12, len(COUNTRIES) + 1)
    np.testing.assert_allclose(model.season_, np.tile(december_first[:, None], 5), atol=0.06)
    np.testing.assert_allclose(model.season_.mean(), 0, atol=1e-6)
    assert 0.1 < model.season_sd_ < 0.4
    assert model.own_season_sd_ < 0.05


def test_forecast_is_the_level_and_the_season_of_its_month():
    model = fitted(monthly(sums()))
    steps = list(range(1, 13))
    chile = model.predict(fh=steps).loc["imports.fresh_grapes.CHL", "log_price"]
    assert [month.month for month in chile.index] == steps
    level = model.states_.loc["imports.fresh_grapes.CHL", "level"]
    season = model.season_["imports.fresh_grapes.CHL"].to_numpy()
    np.testing.assert_allclose(chile, level + np.roll(season, -1), rtol=1e-12)
    again = model.predict(fh=[13]).loc["imports.fresh_grapes.CHL", "log_price"]
    assert again.iloc[0] == pytest.approx(chile.iloc[0])
    middle = model.predict_quantiles(fh=steps, alpha=[0.5]).loc["imports.fresh_grapes.CHL"].iloc[:, 0]
    np.testing.assert_allclose(middle, chile, rtol=1e-12)


def test_season_that_is_not_there_is_drawn_away():
    table = monthly(sums(season=np.zeros(12)))
    model = fitted(table)
    assert model.season_.abs().to_numpy().max() < 0.03
    none = fitted(table, season_sd=1e-4, own_season_sd=1e-4)
    assert none.season_.abs().to_numpy().max() < 1e-4
    cutoff = pd.Period("2019-12", freq="M")
    log_prices, beside = seasonal.panel(table, seasonal.eligible(table, cutoff), cutoff)
    plain = LocalLevel(**GIVEN).fit(log_prices, X=beside).predict(fh=[1, 7])
    pd.testing.assert_frame_equal(none.predict(fh=[1, 7]), plain, atol=1e-3)


def test_products_have_seasons_of_their_own_and_a_short_series_borrows_that_of_its_product():
    grapes = sums()
    wine = sums(season=-SEASON, product="table_wine")
    short = grapes["country"].eq("FRA") & grapes["year"].lt(2017)
    model = fitted(monthly(pd.concat([grapes[~short], wine])))
    july = 7  # months after December
    assert (model.season_.filter(like="fresh_grapes").loc[july] < -0.2).all()
    assert (model.season_.filter(like="table_wine").loc[july] > 0.2).all()


def test_series_that_strays_from_its_product_has_a_season_of_its_own():
    lines = sums()
    odd = lines["country"] == "ARG"
    lines.loc[odd, "value_usd"] *= np.exp(-2 * SEASON[lines.loc[odd, "month"] - 1])
    model = fitted(monthly(lines))
    january = model.season_.loc[1]
    assert model.own_season_sd_ > 0.1
    assert january["imports.fresh_grapes.ARG"] < -0.2
    assert january["imports.fresh_grapes.CHL"] > 0.2


def test_series_is_forecast_from_36_months_of_a_tonne_on_and_while_it_trades():
    lines = sums()
    table = monthly(lines)
    chile = lines[(lines["country"] == "CHL")].sort_values(["year", "month"])
    thirty_sixth = pd.Period(year=int(chile["year"].iloc[35]), month=int(chile["month"].iloc[35]), freq="M")
    name = "imports.fresh_grapes.CHL"
    assert name in seasonal.eligible(table, thirty_sixth)
    assert name not in seasonal.eligible(table, thirty_sixth - 1)
    newest = pd.Period("2019-12", freq="M")
    assert name in seasonal.eligible(table, newest + 11)
    assert name not in seasonal.eligible(table, newest + 13)
    undeclared = monthly(lines.assign(country=lines["country"].replace("CHL", "UNDECLARED")))
    assert not [one for one in seasonal.eligible(undeclared, newest) if "UNDECLARED" in one]


def test_season_is_better_than_ready_made_methods_where_there_is_one(tested: pd.DataFrame):
    table = seasonal.scores(tested).query("group == 'all'").set_index(["horizon", "model"])
    ours = table.xs("seasonal_level", level="model")
    assert (ours["mae_rel_naive"] < 0.75).all()
    assert (ours["mae_rel_seasonal_naive"] < 0.95).all()
    assert (ours["mae_rel_auto_ets"] < 1.1).all()
    assert ours.loc[6, "mae"] < 0.6 * table.loc[(6, "level"), "mae"]
    assert ours["coverage_80"].between(0.7, 0.9).all()
    assert ours["coverage_95"].between(0.86, 1).all()
    assert ours.loc[0, "n_forecasts"] == ours.loc[[1, 6], "n_forecasts"].sum()
    assert (table.xs("naive", level="model")["mae_rel_naive"] == 1).all()


def test_backtest_says_what_came(tested: pd.DataFrame):
    table = monthly(sums(years=7)).set_index(["series", "year", "month"])["price_usd_kg"]
    row = tested.query("series == 'imports.fresh_grapes.ESP' and horizon == 6").iloc[-1]
    year, month = map(int, row["month"].split("-"))
    assert row["actual"] == pytest.approx(table[("imports.fresh_grapes.ESP", year, month)])
    assert pd.Period(row["month"]) - pd.Period(row["cutoff"]) == pd.offsets.MonthEnd(6)
    sides = [tested[name] for name in QUANTILES]
    assert all((low <= high).all() for low, high in pairwise(sides))


def test_nothing_after_a_cutoff_enters_its_forecasts(tested: pd.DataFrame):
    lines = sums(years=7)
    later = (lines["year"] > 2016) | ((lines["year"] == 2016) & (lines["month"] > 3))
    lines.loc[later, ["quantity_kg", "value_usd"]] *= np.array([7.0, 100.0])
    again = seasonal.backtest(monthly(lines), [1, 6], ["seasonal_naive", "seasonal_level"])
    made = ["series", "cutoff", "horizon", "month", "model", "forecast", *QUANTILES]
    before, after = (
        table.loc[(table["cutoff"] <= "2016-03") & table["model"].isin(again["model"]), made].reset_index(drop=True)
        for table in (tested, again)
    )
    assert before["cutoff"].nunique() > 3
    pd.testing.assert_frame_equal(before, after)
    assert again["forecast"].max() > 2 * tested["forecast"].max()


def test_order_of_rows_changes_nothing(tested: pd.DataFrame):
    shuffled = monthly(sums(years=7)).sample(frac=1, random_state=3)
    again = seasonal.backtest(shuffled, [1, 6], ["seasonal_level"])
    ours = tested[tested["model"] == "seasonal_level"].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, ours)


def test_what_cannot_be_forecast_is_said():
    with pytest.raises(VindimaError, match=r"expected horizons from 1 to 12 months, got \[0, 3\]"):
        seasonal.backtest(monthly(sums()), [3, 0])
    short = monthly(sums(years=4))
    with pytest.raises(VindimaError, match=r"expected more than 8 ends of quarters .*, got 4 before 2013-12"):
        seasonal.backtest(short)
    with pytest.raises(VindimaError, match=r"expected a series with 36 months of 1,000 kg, .* got none in 2011-12"):
        seasonal.ahead(monthly(sums(years=2)))


def test_command_writes_the_next_twelve_months_and_says_how_such_forecasts_did(tmp_path: Path):
    table = tmp_path / "monthly.parquet"
    schemas.write(monthly(sums(years=7).query("country == 'CHL'")), schemas.MONTHLY, table)
    result = CliRunner().invoke(main, ["forecast-months", str(table)])
    assert result.exit_code == 0, result.output
    assert "2017-01" in result.output
    made = pd.read_parquet(tmp_path / "monthly_forecasts.parquet")
    assert made.groupby("series")["month"].agg(["first", "last", "size"]).drop_duplicates().to_numpy().tolist() == [
        ["2017-01", "2017-12", 12]
    ]
    assert (made["q10"] < made["forecast"]).all()
    assert (made["forecast"] < made["q90"]).all()
    assert set(pd.read_csv(tmp_path / "monthly_scores.csv")["model"]) == set(seasonal.SEASONAL)
    assert set(pd.read_parquet(tmp_path / "monthly_backtest.parquet")["horizon"]) == set(seasonal.HORIZONS)
    missing = CliRunner().invoke(main, ["forecast-months", str(tmp_path / "none.parquet")])
    assert "`vindima microdata` makes it" in missing.output


def test_yearly_prices_of_micro_data_are_forecast_by_the_models_of_the_pipeline(tmp_path: Path):
    lines = sums(years=15)
    part_of_a_year = lines[(lines["year"] < 2024) | (lines["month"] <= 6)]
    tables = microdata.unit_values(part_of_a_year)
    schemas.write(tables["yearly"], schemas.YEARLY, tmp_path / "yearly.parquet")
    result = CliRunner().invoke(main, ["forecast-years", str(tmp_path / "yearly.parquet")])
    assert result.exit_code == 0, result.output
    made = pd.read_parquet(tmp_path / "yearly_forecasts.parquet")
    assert set(made["cutoff"]) == {2023}
    assert set(made["year"]) == set(range(2024, 2029))
    assert set(made["series"]) == {"imports.fresh_grapes", *(f"imports.fresh_grapes.{one}" for one in COUNTRIES)}
    newest = tables["yearly"].query("year == 2023").set_index("series")["price_usd_kg"]
    next_year = made[made["horizon"] == 1].set_index("series")
    assert (np.log(next_year["forecast"] / newest).abs() < 0.2).all()
    assert ((next_year["q10"] < next_year["forecast"]) & (next_year["forecast"] < next_year["q90"])).all()
    joint = yearly.ahead(tables["yearly"], years=1, name="joint")
    assert set(joint["series"]) == set(made["series"])


def test_exports_of_wine_out_of_sample(shared_data: Path, monkeypatch: pytest.MonkeyPatch):
    """As in the README, but up to 2007 and without AutoETS, so that it does not take long."""
    lines = microdata.monthly_sums([shared_data / "comexstat" / "exp_vinho_cuci11217_mensal_2000_2022.csv"])
    monkeypatch.setitem(seasonal.SEASONAL, "level", LocalLevel)
    monkeypatch.setitem(seasonal.SEASONAL, "seasonal_level", SeasonalLevel)
    tested = seasonal.backtest(monthly(lines[lines["year"] <= 2007]), [1, 12], ["naive", "level", "seasonal_level"])
    mae = seasonal.scores(tested).query("group == 'all' and horizon == 0").set_index("model")["mae"]
    assert mae["seasonal_level"] < 0.9 * mae["naive"]
    assert mae["seasonal_level"] == pytest.approx(mae["level"], rel=0.01)  # there is no season to be found
