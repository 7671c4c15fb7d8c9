"""What earlier errors teach: a weight of the last price, and intervals that hold their share."""

import numpy as np
import pandas as pd
import pytest

from vindima.forecasting import intervals
from vindima.forecasting.intervals import (
    FACTOR,
    FEATURES,
    FEWEST_ERRORS,
    PLAIN,
    Calibration,
    calibrate,
    corrected,
    features,
    series_factors,
)
from vindima.quantiles import QUANTILES, SIDES


def past(errors: np.ndarray, **columns: object) -> pd.DataFrame:
    """Forecasts of 0 with half-widths 1 and 2, all of one series and year, and what came; the last price was 1."""
    own = {"q025": -2.0, "q10": -1.0, "q50": 0.0, "q90": 1.0, "q975": 2.0, "last": 1.0}
    beside = {"horizon": 1, "log_volatility": -2.0, "log_tonnes": 3.0, "smoothed": 0.0}
    beside |= {"series": "a", "cutoff": 2000, "year": 2001}
    return pd.DataFrame({"log_actual": errors}).assign(**(own | beside | columns))


def test_few_errors_teach_nothing_and_the_own_quantiles_stand():
    few = past(np.full(FEWEST_ERRORS - 1, 9.0))
    assert calibrate(few) is None
    pd.testing.assert_frame_equal(corrected(few, None), few)
    assert calibrate(past(np.full(FEWEST_ERRORS, 9.0))) is not None


@pytest.mark.parametrize(("truth", "weight"), [(0.0, 0.0), (0.2, 0.2), (1.0, 0.5)])
def test_weight_of_the_last_price_is_the_one_that_erred_least_and_at_most_a_half(truth: float, weight: float):
    errors = truth + np.random.default_rng(1).laplace(0, 0.01, 2000)
    found = calibrate(past(errors))
    assert found is not None
    assert found.weight == weight
    assert corrected(past(errors[:1]), found)["q50"].iloc[0] == pytest.approx(weight)


def volatile_and_calm(seed: int) -> pd.DataFrame:
    """Errors with tails, three times as wide in volatile series and growing with the horizon."""
    random = np.random.default_rng(seed)
    frame = past(np.zeros(6000), last=0.0)
    frame["horizon"] = random.integers(1, 4, 6000)
    frame["log_volatility"] = random.choice([-3.0, -1.0], 6000)
    scale = np.where(frame["log_volatility"] > -2, 0.3, 0.1) * np.sqrt(frame["horizon"])
    return frame.assign(log_actual=scale * random.standard_t(4, 6000))


def test_intervals_hold_their_share_in_calm_and_volatile_series_and_at_each_horizon():
    found = calibrate(volatile_and_calm(1))
    after = corrected(volatile_and_calm(2), found)
    for level, (lower, upper) in SIDES.items():
        inside = after["log_actual"].between(after[lower], after[upper])
        assert inside.mean() == pytest.approx(level / 100, abs=0.015)
        for column in ("log_volatility", "horizon"):
            assert inside.groupby(after[column]).mean().to_numpy() == pytest.approx(level / 100, abs=0.03)


def test_multiplier_is_the_conformal_rank_of_past_errors_in_scales():
    found = calibrate(past(np.append(np.arange(1.0, 51.0), -np.arange(1.0, 51.0)), last=0.0))
    assert found is not None
    assert found.multipliers[80] / found.multipliers[95] == pytest.approx(41 / 48, rel=1e-5)


def unlike(sd: np.ndarray, years: int, seed: int) -> pd.DataFrame:
    """Forecasts one year ahead of as many series as `sd`: their errors differ, and nothing beside them says so."""
    random = np.random.default_rng(seed)
    cutoffs, names = np.repeat(np.arange(years), len(sd)), [f"s{number:03}" for number in range(len(sd))]
    frame = past(np.zeros(years * len(sd)), last=0.0)
    frame = frame.assign(series=names * years, cutoff=cutoffs, year=cutoffs + 1)
    return frame.assign(log_actual=np.tile(sd, years) * random.laplace(0, 1, len(frame)))


def chi_squared(frame: pd.DataFrame, names: tuple[str, ...], first: int) -> float:
    """By series, of how many 80 per cent intervals held from the cutoff `first` on, per degree of freedom."""
    held = []
    for cutoff in range(first, int(frame["cutoff"].max()) + 1):
        now = corrected(frame[frame["cutoff"] == cutoff], calibrate(frame[frame["year"] <= cutoff], names))
        held.append(now["log_actual"].between(now["q10"], now["q90"]).groupby(now["series"]).first())
    counts = pd.concat(held, axis=1)
    return float(((counts.sum(axis=1) - 0.8 * len(held)) ** 2 / (0.16 * len(held))).mean())


def test_series_that_nothing_else_tells_apart_each_hold_their_share_by_their_own_past_errors():
    frame = unlike(np.exp(np.random.default_rng(1).normal(0, 0.6, 120)), 40, 2)
    assert chi_squared(frame, PLAIN, 20) > 2
    assert chi_squared(frame, FEATURES, 20) < 1.2


def test_factor_is_what_its_formula_says_whatever_the_order_of_rows():
    rows = [("a", 1, 2001, 0.5), ("a", 2, 2003, -1.5), ("b", 1, 2003, 9.0)]
    frame = pd.concat(
        [past(np.array([error]), series=series, horizon=step, year=year) for series, step, year, error in rows],
        ignore_index=True,
    )
    mean, weights = (0.5 + 1.5 + 4) / 3, (0.95**2, 0.5)
    expected = (5 + (0.5 * weights[0] + 1.5 * weights[1]) / mean) / (5 + sum(weights))
    assert series_factors(frame).to_dict() == pytest.approx({"a": expected, "b": (5 + 4 / mean) / 6}, rel=1e-5)
    pd.testing.assert_series_equal(series_factors(frame.iloc[::-1]), series_factors(frame), check_exact=True)


def test_factor_of_a_row_knows_only_what_its_own_cutoff_knew():
    """The targets after year 8 of all series change, and no row of an earlier cutoff is read otherwise."""
    frame = unlike(np.linspace(0.1, 2, 30), 12, 3)
    later = frame["year"] > 8
    changed = frame.assign(log_actual=frame["log_actual"].mask(later, 99.0))
    before = (frame["cutoff"] <= 8).to_numpy()
    then, again = intervals._factors_then(frame), intervals._factors_then(changed)
    assert (then[before] == again[before]).all()
    assert (then[~before] != again[~before]).any()
    assert (then[(frame["cutoff"] == 0).to_numpy()] == 1).all()


def test_series_without_past_errors_has_the_factor_1():
    found = calibrate(unlike(np.linspace(0.1, 2, 30), 12, 4))
    assert found is not None
    new = past(np.zeros(1), series="new")
    average = corrected(new, Calibration(found.weight, found.intercept, found.slopes, found.multipliers))
    assert FACTOR + "new" not in found.parts
    pd.testing.assert_frame_equal(corrected(new, found), average)
    wide = corrected(past(np.zeros(1), series="s029"), found)
    assert wide["q90"].iloc[0] > 1.2 * average["q90"].iloc[0]


def test_single_series_and_errors_of_nothing_leave_factors_of_1():
    alone = calibrate(past(np.random.default_rng(5).laplace(0, 1, 50), cutoff=np.arange(50), year=np.arange(1, 51)))
    still = calibrate(unlike(np.zeros(30), 12, 6))
    assert alone is not None
    assert still is not None
    assert alone.factors["a"] == pytest.approx(1, abs=0.3)
    assert set(still.factors.values()) == {1.0}
    assert np.isfinite(list(still.parts.values())).all()


def test_doubt_widens_the_interval_where_the_median_is_far_from_the_smoothed_price():
    random = np.random.default_rng(7)
    frame = past(np.zeros(4000), last=0.0, smoothed=random.choice([0.0, 2.0], 4000))
    frame = frame.assign(log_actual=np.where(frame["smoothed"] > 0, 1.0, 0.3) * random.laplace(0, 1, 4000))
    found = calibrate(frame)
    after = corrected(frame, found)
    inside = after["log_actual"].between(after["q10"], after["q90"]).groupby(after["smoothed"]).mean()
    assert inside.to_numpy() == pytest.approx(0.8, abs=0.03)


def test_quantiles_never_cross_even_where_the_multipliers_do():
    by = Calibration(0.0, 0.0, dict.fromkeys(intervals.FEATURES, 0.0), {80: 2.0, 95: 1.0})
    wide = corrected(past(np.zeros(1)), by).iloc[0]
    assert wide[list(QUANTILES)].tolist() == [-2, -2, 0, 2, 2]


def test_calibration_is_stored_as_names_and_numbers():
    found = calibrate(volatile_and_calm(3))
    assert found is not None
    assert Calibration.of(found.parts) == found
    assert all(isinstance(value, float) for value in found.parts.values())
    in_order_of_names = dict(sorted(found.parts.items()))
    again = Calibration.of(in_order_of_names)
    assert list(again.slopes) == list(found.slopes)
    plain = calibrate(volatile_and_calm(3), PLAIN)
    assert plain is not None
    assert Calibration.of(plain.parts) == plain


def prices(changes: list[float], kilograms: float = 5000.0) -> pd.DataFrame:
    log = np.cumsum([0.0, *changes])
    return pd.DataFrame(
        {"series": "a", "year": range(2000, 2000 + len(log)), "price_usd_kg": np.exp(log), "quantity_kg": kilograms}
    )


def test_features_are_the_last_price_recent_volatility_and_last_tonnes():
    found = features(prices([0.3, -0.3, 0.3, 0.0]), ["a"], 2004).iloc[0]
    assert found["last"] == pytest.approx(0.3)
    logs, weights = np.array([0.0, 0.3, 0.0, 0.3, 0.3]), 0.5 ** np.arange(4, -1, -1)
    assert found["smoothed"] == pytest.approx((logs * weights).sum() / weights.sum())
    assert np.exp(found["log_volatility"]) == pytest.approx((0.9 + 3 * 0.15) / 7)
    assert np.exp(found["log_tonnes"]) == pytest.approx(5)


def test_features_know_nothing_after_the_cutoff_and_no_change_across_a_gap():
    whole = prices([0.3, -0.3, 0.3, 2.0])
    pd.testing.assert_frame_equal(features(whole, ["a"], 2003), features(whole[whole["year"] <= 2003], ["a"], 2003))
    gap = features(whole[whole["year"] != 2001], ["a"], 2003).iloc[0]
    assert np.exp(gap["log_volatility"]) == pytest.approx((0.3 + 3 * 0.15) / 4)


def test_changes_more_than_ten_years_old_are_forgotten():
    old = features(prices([1.0, *[0.1] * 10]), ["a"], 2011).iloc[0]
    assert np.exp(old["log_volatility"]) == pytest.approx((1.0 + 3 * 0.15) / 13)
