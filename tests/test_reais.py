"""Forecasts in reais: what rate is expected, what past errors teach, and that nothing later enters."""

import numpy as np
import pandas as pd
import pytest

from tests.test_models import simulated
from vindima.etl import schemas
from vindima.forecasting import intervals, reais
from vindima.forecasting.backtest import Backtest, backtest, calibrated, rolling, taught
from vindima.forecasting.forecaster import Forecaster
from vindima.forecasting.reais import Learned, Rates
from vindima.quantiles import QUANTILES

YEARS = range(1990, 2024)


def rates(logs: np.ndarray | None = None, us: float = 0.0, brazil: float = 0.0) -> Rates:
    """Rates from 1995 to 2023, with a constant yearly inflation in both countries."""
    years = np.arange(1995, 2024)
    walk = np.random.default_rng(3).normal(0, 0.2, len(years)).cumsum() if logs is None else logs
    table = {"rate": walk, "us": us * (years - 1995), "brazil": brazil * (years - 1995)}
    return Rates(pd.DataFrame(table, index=years))


@pytest.fixture(scope="module")
def prices() -> pd.DataFrame:
    return simulated(("ARG", "CHL", "ITA", "PRT", "ESP", "FRA"), 1990, 2023)


@pytest.fixture(scope="module")
def made(prices: pd.DataFrame) -> Backtest:
    return backtest(["level"], prices, 2010, None, [1, 2, 3], rates=rates())


def test_rate_is_expected_to_stay_where_nothing_moves_it():
    flat = rates(np.full(29, 1.5))
    expected = flat.expected(2010, pd.Series([1, 4]))
    assert expected.to_numpy() == pytest.approx(1.5)


def test_half_of_a_gap_of_the_real_rate_closes_in_four_years():
    known = rates(np.append(np.zeros(28), 1.0))
    expected = known.expected(2023, pd.Series([4, 8]))
    mean = 1 / 29
    assert expected["real"].tolist() == pytest.approx([1 - (1 - mean) / 2, 1 - (1 - mean) * 3 / 4])
    assert expected["nominal"].tolist() == expected["real"].tolist()


def test_half_of_the_difference_of_inflation_is_expected_in_the_nominal_rate():
    inflating = rates(np.arange(29) * 0.04, us=0.02, brazil=0.06)  # the real rate is constant
    expected = inflating.expected(2020, pd.Series([1, 3]))
    assert (expected["nominal"] - inflating.logs.loc[2020, "rate"]).tolist() == pytest.approx([0.02, 0.06])
    assert (expected["real"] - inflating.logs.loc[2020, "rate"]).tolist() == pytest.approx([0, 0])


def test_tables_give_the_rates_from_1995_on():
    given = pd.DataFrame(
        {"country": ["BRA", "BRA", "CHL"], "year": [1994, 1995, 1995], "currency_per_usd": [0.6, 0.9, 400.0]}
    )
    levels = pd.DataFrame({"year": [1994, 1995], "us_cpi": [148.0, 152.0], "ipca": [900.0, 1500.0]})
    logs = Rates.of(given, levels).logs
    assert list(logs.index) == [1995]
    assert np.exp(logs.loc[1995]).tolist() == pytest.approx([0.9, 152.0, 1500.0])


def test_nothing_after_a_cutoff_moves_a_forecast_in_reais_made_at_it(prices: pd.DataFrame):
    cutoff, whole = 2015, rates(us=0.02, brazil=0.05)
    later = rates(us=0.02, brazil=0.05).logs
    later.loc[cutoff + 1 :] += np.linspace(0.5, 2, 2023 - cutoff)[:, None]
    moved = prices.assign(
        price_usd_kg=prices["price_usd_kg"].where(prices["year"] <= cutoff, prices["price_usd_kg"] * 3)
    )
    first, again = (
        backtest(["level"], table, cutoff - 1, cutoff, [1, 2], rates=known).reais.query("cutoff == @cutoff")
        for table, known in ((prices, whole), (moved, Rates(later)))
    )
    assert len(first) == len(again) > 0
    assert not (first["actual"] == again["actual"]).any()
    pd.testing.assert_frame_equal(first.drop(columns="actual"), again.drop(columns="actual"))


def test_intervals_hold_what_they_promise_where_the_rate_wanders(made: Backtest):
    table = schemas.validate(made.reais, schemas.BACKTEST_REAIS)
    dollars = made.scored.set_index(["series", "cutoff", "horizon"])
    for _, rows in table.groupby("terms"):
        held = rows["actual"].between(rows["q10"], rows["q90"]).mean()
        assert 0.7 <= held <= 0.92
        beside = dollars.loc[pd.MultiIndex.from_frame(rows[["series", "cutoff", "horizon"]])]
        wider = np.log(rows["q90"] / rows["q10"]).to_numpy() / np.log(beside["q90"] / beside["q10"]).to_numpy()
        assert np.median(wider) > 1.2


def test_price_that_came_is_in_the_reais_of_its_terms(made: Backtest, prices: pd.DataFrame):
    known = rates(brazil=0.05, us=0.02)
    table = backtest(["level"], prices, 2015, 2016, [2], rates=known).reais
    row = table[(table["series"] == "imports.table_wine.CHL") & (table["cutoff"] == 2015)].set_index("terms")
    usd = prices.set_index(["series", "year"])["price_usd_kg"]["imports.table_wine.CHL"]
    rate = np.exp(known.logs["rate"])
    assert row.loc["nominal", "actual"] == pytest.approx(usd[2017] * rate[2017])
    assert row.loc["real", "actual"] == pytest.approx(usd[2017] * rate[2017] * np.exp(-2 * 0.05))
    assert row["last"].tolist() == pytest.approx([usd[2015] * rate[2015]] * 2, rel=1e-5)


def test_doubtful_actual_is_null_in_reais_too(prices: pd.DataFrame):
    doubtful = (prices["series"] == "imports.table_wine.CHL") & (prices["year"] == 2023)
    confirmed = prices.assign(price_usd_kg=prices["price_usd_kg"].mask(doubtful, 99.0))
    table = backtest(["level"], prices, 2020, None, [1, 2], confirmed=confirmed, rates=rates()).reais
    null = table[table["actual"].isna()]
    assert set(null["series"]) == {"imports.table_wine.CHL"}
    assert set(null["year"]) == {2023}
    assert len(null) == 4


@pytest.mark.parametrize("answer", [0.0, -0.6])
def test_association_of_prices_with_the_rate_is_learned(prices: pd.DataFrame, answer: float):
    known = rates()
    logs = known.logs["rate"].reindex(prices["year"]).fillna(known.logs["rate"].iloc[0]).to_numpy()
    factor = np.exp(answer * logs)
    answering = prices.assign(
        price_usd_kg=prices["price_usd_kg"] * factor, price_usd_kg_real=prices["price_usd_kg_real"] * factor
    )
    dollars = calibrated(rolling("level", answering, range(1995, 2023), [1, 2, 3]), range(1995, 2023))
    learned = reais.learn(reais.beside(dollars, known))
    assert learned
    assert learned.association == pytest.approx(answer, abs=0.25)
    assert Learned.of(learned.parts) == learned


def test_forecasts_are_made_of_what_the_backtest_taught_or_of_the_same_made_anew(
    prices: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
):
    known = rates()
    tested = backtest(["naive", "drift", "level", "joint"], prices, 2018, None, [1, 2], rates=known)
    there, anew = (
        Forecaster.fit(prices, tested.scored, 2, "0123456789ab", calibrations=given, rates=known).predict_in_reais()
        for given in (tested.calibrations, None)
    )
    pd.testing.assert_frame_equal(there, anew)
    assert set(there["terms"]) == {"nominal", "real"}
    assert set(there["year"]) == {2024, 2025}
    assert (there[list(QUANTILES)].diff(axis=1).iloc[:, 1:] > 0).all(axis=None)
    name = there["model"].iloc[0]
    assert taught(name, prices, [1, 2], tested.calibrations) == taught(name, prices, [1, 2], None, known)


def test_too_few_errors_teach_nothing_and_give_no_forecast_in_reais():
    short = simulated(("CHL",), 1990, 2003)
    tested = backtest(["naive", "drift", "level", "joint"], short, 2001, None, [1], rates=rates())
    assert tested.reais.empty
    schemas.validate(tested.reais, schemas.BACKTEST_REAIS)
    fitted = Forecaster.fit(short, tested.scored, 1, "0123456789ab", rates=rates())
    assert schemas.validate(fitted.predict_in_reais(), schemas.FORECASTS_REAIS).empty
    assert reais.learn(pd.DataFrame(index=range(intervals.FEWEST_ERRORS - 1))) is None
    assert Learned.of({}) is None
