"""Gradient boosting: what it learns, from which years, and that neither order nor threads change it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_info, threadpool_limits

from vindima.errors import VindimaError
from vindima.forecasting.boosting import Boosting, features
from vindima.forecasting.models import log_quantiles
from vindima.quantiles import QUANTILES

TOTAL = "imports.raisins"
NAMES = (TOTAL, *(f"{TOTAL}.{country}" for country in ("ARG", "CHL", "IRN", "TUR", "USA", "ZAF")))


def reverting(names: tuple[str, ...] = NAMES, years: int = 40, seed: int = 1) -> pd.DataFrame:
    """Log prices (years × series) that lose seven tenths of their distance from a mean of their own each year."""
    random = np.random.default_rng(seed)
    away = np.zeros((years, len(names)))
    for year in range(1, years):
        away[year] = 0.3 * away[year - 1] + random.normal(0, 0.2, len(names))
    index = pd.period_range("1980", periods=years, freq="Y-DEC", name="year")
    return pd.DataFrame(away + random.uniform(0, 1, len(names)), index, list(names))


def without_volumes(wide: pd.DataFrame) -> pd.DataFrame:
    return pd.concat({name: wide[name].to_frame("log_price") for name in wide}, names=["series"])


def panel(wide: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Panels as `fit_panel` makes them, the series in the order of the columns; the volumes of one name are fixed."""
    y = without_volumes(wide)
    tonnes = {name: np.random.default_rng(place).uniform(1e3, 1e6, len(wide)) for place, name in enumerate(NAMES)}
    x = pd.DataFrame({"quantity_kg": np.concatenate([tonnes[name] for name in wide]), "deflator": 1.0}, index=y.index)
    return y, x.assign(quantity_kg=x["quantity_kg"].where(y["log_price"].notna()))


def test_prices_that_return_to_their_mean_are_forecast_better_than_by_the_last_one():
    names = tuple(f"{TOTAL}.{letter}" for letter in "ABCDEFGHIJKLMNOPQRST")
    wide = reverting(names, 60)
    errors = {"boosting": 0.0, "last": 0.0}
    for cutoff in range(50, 57, 3):
        made = Boosting().fit(without_volumes(wide.iloc[:cutoff])).predict(fh=[1, 2, 3])
        came = wide.iloc[cutoff : cutoff + 3].to_numpy()
        errors["boosting"] += np.abs(made["log_price"].to_numpy().reshape(len(names), 3).T - came).mean()
        errors["last"] += np.abs(wide.iloc[cutoff - 1].to_numpy() - came).mean()
    assert errors["boosting"] < 0.85 * errors["last"]


def test_what_is_told_of_a_year_is_known_at_its_end():
    wide = reverting()
    wide.iloc[10:12, 2] = np.nan
    tonnes = wide.abs() + 1
    whole = features(wide, tonnes)
    for years in (1, 11, 25):
        np.testing.assert_array_equal(whole[:years], features(wide.iloc[:years], tonnes.iloc[:years]))


@pytest.mark.parametrize("order", [[3, 0, 6, 2, 5, 1, 4], [6, 5, 4, 3, 2, 1, 0]])
def test_order_of_the_series_changes_no_bit(order: list[int]):
    wide = reverting()
    made, again = (
        log_quantiles(Boosting().fit(*panel(table)), [1, 5]).sort_values(["series", "horizon"], ignore_index=True)
        for table in (wide, wide.iloc[:, order])
    )
    pd.testing.assert_frame_equal(made, again, check_exact=True)


def test_names_that_sort_otherwise_change_no_bit():
    wide = reverting()
    other = {name: f"{TOTAL}.{letter}" for name, letter in zip(NAMES[1:], "ZYXWVU", strict=True)}
    y, x = panel(wide)
    made = log_quantiles(Boosting().fit(y, X=x), [1, 5])
    y, x = (table.rename(index=other, level="series").sort_index() for table in (y, x))
    renamed = log_quantiles(Boosting().fit(y, X=x), [1, 5])
    expected = made.replace({"series": other}).sort_values(["series", "horizon"], ignore_index=True)
    pd.testing.assert_frame_equal(renamed, expected, check_exact=True)


@pytest.mark.parametrize("order", [[3, 0, 6, 2, 5, 1, 4], [6, 5, 4, 3, 2, 1, 0]])
def test_means_over_series_have_no_order(order: list[int]):
    wide = reverting()
    np.testing.assert_array_equal(
        features(wide, wide.abs())[:, order], features(wide.iloc[:, order], wide.iloc[:, order].abs())
    )


def test_trees_are_grown_and_asked_on_one_thread(monkeypatch: pytest.MonkeyPatch):
    threads = []
    for name in ("fit", "predict"):
        own = getattr(HistGradientBoostingRegressor, name)

        def counted(*arguments: Any, own: Any = own) -> Any:
            threads.append([one["num_threads"] for one in threadpool_info() if one["user_api"] == "openmp"])
            return own(*arguments)

        monkeypatch.setattr(HistGradientBoostingRegressor, name, counted)
    with threadpool_limits(2):
        Boosting(rounds=2).fit(*panel(reverting())).predict(fh=[1])
    assert len(threads) == 3
    assert {number for found in threads for number in found} == {1}


def test_number_of_threads_changes_no_bit():
    made = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            made.append(log_quantiles(Boosting().fit(*panel(reverting())), [1, 3]))
    pd.testing.assert_frame_equal(*made, check_exact=True)


def test_inflation_is_taken_out_and_the_last_price_level_stays():
    wide = pd.DataFrame({name: 0.03 * np.arange(40.0) for name in NAMES}, reverting().index)
    y, x = panel(wide)
    x["deflator"] = np.tile(np.exp(-0.03 * np.arange(40.0)), len(NAMES))
    made = Boosting().fit(y, X=x).predict(fh=[1, 5])
    assert made["log_price"].to_numpy() == pytest.approx(0.03 * 39, abs=1e-6)


def test_series_that_has_not_traded_for_years_starts_from_its_last_price():
    wide = pd.DataFrame({name: float(place) for place, name in enumerate(NAMES)}, reverting().index)
    wide.iloc[-3:, 2] = np.nan
    wide.iloc[:20, 3] = np.nan
    wide.iloc[-1, 4] = 8.0
    made = Boosting().fit(*panel(wide)).predict(fh=[1, 10])
    assert made["log_price"].to_numpy() == pytest.approx(np.repeat([0.0, 1.0, 2.0, 3.0, 8.0, 5.0, 6.0], 2))


def test_year_with_a_price_and_without_a_volume_is_read():
    y, x = panel(reverting())
    x.loc[x.index.get_level_values("year") > pd.Period("2010"), "quantity_kg"] = np.nan
    made = log_quantiles(Boosting().fit(y, X=x), [1, 5])
    assert np.isfinite(made[list(QUANTILES)]).all(axis=None)


def test_further_ahead_than_the_data_reach_is_never_surer():
    made = log_quantiles(Boosting().fit(*panel(reverting(years=8))), range(1, 11))
    widths = (made["q90"] - made["q10"]).to_numpy().reshape(len(NAMES), 10)
    assert (np.diff(widths, axis=1) >= -1e-12).all()
    assert widths[:, -1] == pytest.approx(widths[:, 6])


def test_intervals_hold_about_their_share_of_prices_that_come():
    wide = reverting(tuple(f"{TOTAL}.S{number}" for number in range(60)), 45)
    made = log_quantiles(Boosting().fit(without_volumes(wide.iloc[:43])), [2])
    came = wide.iloc[44].reindex(made["series"]).reset_index(drop=True)
    assert came.between(made["q10"], made["q90"]).mean() == pytest.approx(0.80, abs=0.12)


@pytest.mark.parametrize("anew", [True, False])
def test_update_grows_the_trees_anew_or_keeps_them_and_starts_from_the_new_prices(anew: bool):
    early, late = reverting(), reverting(seed=2)
    y, x = panel(pd.concat([early.iloc[:30], late.iloc[30:]]))
    old = y.index.get_level_values("year") < pd.Period("2010")
    fitted = Boosting().fit(y[old], X=x[old])
    trees = fitted._trees
    fitted.update(y[~old], X=x[~old], update_params=anew)
    assert (fitted._trees is trees) == (not anew)
    made, whole = fitted.predict(fh=[1, 5]), Boosting().fit(y, X=x).predict(fh=[1, 5])
    assert made.equals(whole) == anew
    assert made.index.equals(whole.index)


def test_prices_of_which_none_followed_another_are_refused():
    wide = reverting().mask(lambda table: table.notna() & (np.arange(40)[:, None] != 20))
    with pytest.raises(VindimaError, match="boosting: expected a series with prices in at least two years, got none"):
        Boosting().fit(*panel(wide))
