"""What earlier errors teach: a weight of the last price, and intervals that hold their share."""

import numpy as np
import pandas as pd
import pytest

from vindima.forecasting import intervals
from vindima.forecasting.intervals import FEWEST_ERRORS, Calibration, calibrate, corrected, features
from vindima.quantiles import QUANTILES, SIDES


def past(errors: np.ndarray, **columns: object) -> pd.DataFrame:
    """Forecasts of 0 with half-widths 1 and 2, and what came; the last price was 1."""
    own = {"q025": -2.0, "q10": -1.0, "q50": 0.0, "q90": 1.0, "q975": 2.0, "last": 1.0}
    beside = {"horizon": 1, "log_volatility": -2.0, "log_tonnes": 3.0}
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


def test_quantiles_never_cross_even_where_the_multipliers_do():
    by = Calibration(0.0, 0.0, dict.fromkeys(intervals.FEATURES, 0.0), {80: 2.0, 95: 1.0})
    wide = corrected(past(np.zeros(1)), by).iloc[0]
    assert wide[list(QUANTILES)].tolist() == [-2, -2, 0, 2, 2]


def test_calibration_is_stored_as_names_and_numbers():
    found = calibrate(volatile_and_calm(3))
    assert found is not None
    assert Calibration.of(found.parts) == found
    assert all(isinstance(value, float) for value in found.parts.values())


def prices(changes: list[float], kilograms: float = 5000.0) -> pd.DataFrame:
    log = np.cumsum([0.0, *changes])
    return pd.DataFrame(
        {"series": "a", "year": range(2000, 2000 + len(log)), "price_usd_kg": np.exp(log), "quantity_kg": kilograms}
    )


def test_features_are_the_last_price_recent_volatility_and_last_tonnes():
    found = features(prices([0.3, -0.3, 0.3, 0.0]), ["a"], 2004).iloc[0]
    assert found["last"] == pytest.approx(0.3)
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
