import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.test_models import simulated
from vindima.errors import VindimaError
from vindima.forecasting.backtest import backtest
from vindima.forecasting.forecaster import Forecaster, data_hash, locked_versions
from vindima.forecasting.models import CANDIDATES, POOLED
from vindima.quantiles import QUANTILES

LOCK = "".join(
    f"{name}==1.{number} \\\n    --hash=sha256:00\n"
    for number, name in enumerate(("numpy", "pandas", "scipy", "sktime", "statsforecast"))
)


@pytest.fixture(scope="module")
def prices() -> pd.DataFrame:
    return simulated(first=1998)


@pytest.fixture(scope="module")
def scored(prices: pd.DataFrame) -> pd.DataFrame:
    return backtest(CANDIDATES, prices, 2010, None, [1, 2, 3]).scored


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.txt"
    path.write_text(LOCK)
    return path


def favouring(scored: pd.DataFrame, model: str) -> pd.DataFrame:
    """The same backtest, in which `model` was right every time."""
    right = scored["model"] == model
    return scored.assign(q50=scored["q50"].mask(right, scored["actual"]))


@pytest.mark.parametrize("model", CANDIDATES)
def test_saved_forecaster_predicts_the_same_and_saves_the_same_bytes(
    model: str, prices: pd.DataFrame, scored: pd.DataFrame, lock: Path, tmp_path: Path
):
    fitted = Forecaster.fit(prices, favouring(scored, model), 5, "0123456789ab", lock)
    fitted.save(tmp_path / "one")
    loaded = Forecaster.load(tmp_path / "one")
    assert loaded.record["model"] == model
    pd.testing.assert_frame_equal(loaded.predict(), fitted.predict(), check_exact=True)
    loaded.save(tmp_path / "two")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["calibration.parquet", "history.parquet", "model.json"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("model", [name for name in CANDIDATES if name in POOLED])
def test_saved_forecast_is_what_the_backtest_makes_at_the_same_cutoff(
    model: str, scored: pd.DataFrame, lock: Path, tmp_path: Path
):
    """The factors of the series are those that the cutoff knew, stored and read again."""
    prices = simulated(("ARG", "CHL", "ITA", "PRT"), 1985, 2013)
    there = backtest([model], prices, 2010, 2010, [1, 2, 3]).scored
    known = prices[prices["year"] <= 2010]
    Forecaster.fit(known, favouring(scored, model), 3, "0123456789ab", lock).save(tmp_path)
    loaded = Forecaster.load(tmp_path)
    assert loaded.calibration is not None
    assert set(loaded.calibration.factors) == set(known["series"])
    both = there.merge(loaded.predict(), on=["series", "horizon"], suffixes=("", "_published"))
    assert len(both) == 15
    for name in QUANTILES:
        assert both[name].to_numpy() == pytest.approx(both[f"{name}_published"].to_numpy(), rel=1e-4)


def test_loaded_forecaster_estimates_nothing_anew(
    prices: pd.DataFrame, scored: pd.DataFrame, lock: Path, tmp_path: Path
):
    Forecaster.fit(prices, favouring(scored, "level"), 2, "0123456789ab", lock).save(tmp_path)
    record = json.loads((tmp_path / "model.json").read_text())
    record["fitted"]["noise_sd"] = 1e-6
    (tmp_path / "model.json").write_text(json.dumps(record))
    without_noise = Forecaster.load(tmp_path).predict(1).set_index("series")["forecast"]
    last = prices[prices["year"] == 2015].set_index("series")["price_usd_kg"]
    assert (without_noise / last).to_numpy() == pytest.approx(1, rel=1e-5)


def test_model_json_tells_where_the_forecast_comes_from(prices: pd.DataFrame, scored: pd.DataFrame, lock: Path):
    record = Forecaster.fit(prices, favouring(scored, "level"), 3, "0123456789ab", lock).record
    assert (record["vintage"], record["cutoff"], record["horizon"]) == ("0123456789ab", 2015, 3)
    assert set(record["fitted"]) == {"level_sd", "noise_sd", "volume_power", "scale_df"}
    assert set(record["choice"]["mean_absolute_log_error"]) == set(CANDIDATES)
    assert record["data"]["sha256"] == data_hash(prices)
    assert record["packages"]["sktime"] == "1.3"
    assert "python" not in json.dumps(record).lower()


def test_every_eligible_series_is_forecast_at_every_horizon(prices: pd.DataFrame, scored: pd.DataFrame, lock: Path):
    forecasts = Forecaster.fit(prices, scored, 10, "0123456789ab", lock).predict()
    assert forecasts.groupby("series")["horizon"].agg(list).map(lambda steps: steps == list(range(1, 11))).all()
    assert forecasts["series"].nunique() == 7
    assert set(forecasts["year"]) == set(range(2016, 2026))


def test_shorter_horizon_is_the_beginning_of_the_longer(prices: pd.DataFrame, scored: pd.DataFrame, lock: Path):
    fitted = Forecaster.fit(prices, scored, 5, "0123456789ab", lock)
    long = fitted.predict()
    pd.testing.assert_frame_equal(fitted.predict(2), long[long["horizon"] <= 2].reset_index(drop=True))
    with pytest.raises(VindimaError, match="expected 1 to 5, as fitted, got 6"):
        fitted.predict(6)


@pytest.mark.parametrize("horizon", [0, 50])
def test_impossible_horizon_is_refused(horizon: int, prices: pd.DataFrame, scored: pd.DataFrame, lock: Path):
    with pytest.raises(VindimaError, match=rf"from 1 to 10, got \[{horizon}\]"):
        Forecaster.fit(prices, scored, horizon, "0123456789ab", lock)


def test_prices_without_an_eligible_series_are_refused(scored: pd.DataFrame, lock: Path):
    with pytest.raises(VindimaError, match="no series has that"):
        Forecaster.fit(simulated(last=1982), scored, 5, "0123456789ab", lock)


def test_backtest_that_lacks_a_candidate_is_refused(prices: pd.DataFrame, scored: pd.DataFrame, lock: Path):
    with pytest.raises(VindimaError, match="drift missing"):
        Forecaster.fit(prices, scored[scored["model"] != "drift"], 5, "0123456789ab", lock)


def test_missing_model_says_what_to_run(tmp_path: Path):
    with pytest.raises(VindimaError, match=r"model\.json is not there: run `make`"):
        Forecaster.load(tmp_path)


def test_data_hash_ignores_row_order_and_sees_every_number(prices: pd.DataFrame):
    assert data_hash(prices.sample(frac=1, random_state=0)) == data_hash(prices)
    moved = prices.assign(value_usd=prices["value_usd"] * (1 + 1e-12))
    assert data_hash(moved) != data_hash(prices)


def test_package_that_is_not_locked_is_named(tmp_path: Path):
    lock = tmp_path / "requirements.txt"
    lock.write_text(LOCK.replace("scipy==", "scipy>="))
    with pytest.raises(VindimaError, match=r"requirements\.txt: expected a locked version of scipy"):
        locked_versions(lock)


@pytest.mark.parametrize("horizon", [0, 50])
def test_fitted_forecaster_refuses_an_impossible_horizon(
    horizon: int, prices: pd.DataFrame, scored: pd.DataFrame, lock: Path
):
    fitted = Forecaster.fit(prices, favouring(scored, "naive"), 5, "0123456789ab", lock)
    with pytest.raises(VindimaError, match=rf"from 1 to 10, got \[{horizon}\]"):
        fitted.predict(horizon)


def test_prices_without_rows_are_refused(prices: pd.DataFrame, scored: pd.DataFrame, lock: Path):
    with pytest.raises(VindimaError, match="there is no price to forecast from"):
        Forecaster.fit(prices.iloc[:0], scored, 5, "0123456789ab", lock)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_series_that_holds_no_prices_is_refused_by_its_name(
    value: float, prices: pd.DataFrame, scored: pd.DataFrame, lock: Path
):
    bad = prices.assign(price_usd_kg=prices["price_usd_kg"].mask(prices["country"] == "ITA", value))
    with pytest.raises(VindimaError, match=r"prices of imports.table_wine.ITA, 1998: expected a finite price_usd_kg"):
        Forecaster.fit(bad, scored, 5, "0123456789ab", lock)


@pytest.mark.parametrize("model", CANDIDATES)
def test_single_series_that_never_moved_is_forecast_at_its_price(model: str, scored: pd.DataFrame, lock: Path):
    prices = simulated(("CHL",), 1998).query("country == 'CHL'").assign(price_usd_kg=2.0, price_usd_kg_real=2.0)
    made = Forecaster.fit(prices, favouring(scored, model), 5, "0123456789ab", lock).predict()
    assert made["forecast"].tolist() == [2.0] * 5
    assert ((made["q90"] > 2) & (made["q10"] < 2)).all()


@pytest.mark.parametrize("model", CANDIDATES)
def test_years_without_a_price_before_the_cutoff_leave_finite_forecasts(
    model: str, prices: pd.DataFrame, scored: pd.DataFrame, lock: Path
):
    gap = prices[~((prices["country"] == "ITA") & prices["year"].isin([2005, 2006])) & (prices["year"] != 2010)]
    made = Forecaster.fit(gap, favouring(scored, model), 5, "0123456789ab", lock).predict()
    assert made.groupby("series").size().tolist() == [5] * 7
