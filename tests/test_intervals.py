import numpy as np
import pandas as pd
import pytest

from vindima.forecasting.intervals import FEWEST_ERRORS, multipliers, widen


def past(errors: np.ndarray, horizon: int = 1) -> pd.DataFrame:
    """Forecasts of 0 with half-widths 1 and 2, and what came."""
    own = {"q025": -2.0, "q10": -1.0, "q50": 0.0, "q90": 1.0, "q975": 2.0}
    return pd.DataFrame({"horizon": horizon, "log_actual": errors}).assign(**own)


def test_multiplier_is_the_conformal_rank_of_past_errors_in_half_widths():
    errors = np.arange(1, 101) * np.where(np.arange(100) % 2, 1, -1)
    by = multipliers(past(errors)).set_index("level")["multiplier"]
    assert by[80] == 81
    assert by[95] == 96 / 2


def test_few_errors_leave_the_own_intervals():
    by = multipliers(past(np.full(FEWEST_ERRORS - 1, 9.0)))
    assert by["multiplier"].tolist() == [1, 1]
    assert multipliers(past(np.full(FEWEST_ERRORS, 9.0)))["multiplier"].tolist() == [9, 4.5]


def test_horizons_are_calibrated_apart_and_an_unknown_one_keeps_its_own():
    by = multipliers(pd.concat([past(np.full(50, 2.0), 1), past(np.full(50, 4.0), 2)]))
    own = pd.concat([past(np.zeros(1), horizon) for horizon in (1, 2, 3)], ignore_index=True)
    assert widen(own, by)["q90"].tolist() == [2, 4, 1]


def test_stretched_quantiles_never_cross():
    by = pd.DataFrame({"horizon": [1, 1], "level": [80, 95], "multiplier": [5.0, 0.5]})
    wide = widen(past(np.zeros(1)), by).iloc[0]
    assert wide[["q025", "q10", "q50", "q90", "q975"]].tolist() == [-5, -5, 0, 5, 5]


def test_calibrated_intervals_cover_errors_that_the_own_ones_miss():
    random = np.random.default_rng(2)
    before, after = random.standard_t(3, (2, 4000)) * 2
    wide = widen(past(after), multipliers(past(before)))
    inside = wide["log_actual"].between(wide["q10"], wide["q90"]).mean()
    assert inside == pytest.approx(0.8, abs=0.02)
    assert wide["log_actual"].between(wide["q025"], wide["q975"]).mean() == pytest.approx(0.95, abs=0.01)
