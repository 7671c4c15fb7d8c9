import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vindima.errors import VindimaError
from vindima.forecasting import scores


def rows(
    model: str, log_errors: list[float], half_width: float = 1.0, series: str = "imports.raisins"
) -> pd.DataFrame:
    """Forecasts of 1 US$/kg at consecutive cutoffs, horizon 1, whose log errors are `log_errors`."""
    count = len(log_errors)
    sides = {"q025": -2 * half_width, "q10": -half_width, "q50": 0.0, "q90": half_width, "q975": 2 * half_width}
    return pd.DataFrame(
        {
            "series": series,
            "cutoff": 2007 + np.arange(count),
            "horizon": 1,
            "year": 2008 + np.arange(count),
            "model": model,
            "actual": np.exp(log_errors),
        }
    ).assign(**{name: np.exp(log) for name, log in sides.items()})


@pytest.fixture
def scored() -> pd.DataFrame:
    """Three models on a total and a country; ours errs half as much as naive on the total, as much on the country."""
    country = "imports.raisins.ARG"
    return pd.concat(
        [
            rows("naive", [0.2, -0.6]), rows("auto_ets", [0.2, -0.6]), rows("ours", [0.1, -0.3]),
            rows("naive", [1.5], series=country), rows("auto_ets", [1.5], series=country),
            rows("ours", [-1.5], series=country),
        ]
    )  # fmt: skip


def test_metrics_have_the_words_of_the_contract_and_ratios_of_means(scored: pd.DataFrame):
    stand = scores.metrics(scored, "ours")
    assert list(stand) == ["all", "totals"]
    assert list(stand["totals"]) == [
        "n_series", "n_forecasts", "horizons", "mae_rel_naive", "rmse_rel_naive", "pinball_rel_autoets",
        "coverage_80", "coverage_95",
    ]  # fmt: skip
    assert stand["totals"]["mae_rel_naive"] == 0.5
    assert stand["totals"]["rmse_rel_naive"] == 0.5
    assert stand["all"]["mae_rel_naive"] == pytest.approx((0.1 + 0.3 + 1.5) / (0.2 + 0.6 + 1.5), rel=1e-5)
    assert stand["all"]["coverage_80"] == pytest.approx(2 / 3, rel=1e-5)
    assert stand["all"]["coverage_95"] == 1
    assert (stand["all"]["n_series"], stand["all"]["n_forecasts"], stand["all"]["horizons"]) == (2, 3, [1, 2, 3])


def test_pinball_is_the_mean_over_the_five_quantiles():
    one = scores.log_errors(rows("ours", [0.5]))["pinball"].iloc[0]
    by_hand = [0.025 * 2.5, 0.1 * 1.5, 0.5 * 0.5, 0.1 * 0.5, 0.025 * 1.5]
    assert one == pytest.approx(sum(by_hand) / 5)


def test_only_forecasts_that_every_model_made_are_compared(scored: pd.DataFrame):
    lacking = scored[~((scored["model"] == "naive") & (scored["cutoff"] == 2008))]
    assert scores.metrics(lacking, "ours")["totals"]["n_forecasts"] == 1


def test_forecast_without_an_actual_and_longer_horizons_are_left_out(scored: pd.DataFrame):
    unknown = scored.assign(actual=scored["actual"].mask(scored["year"] == 2009))
    assert scores.metrics(unknown, "ours")["totals"]["n_forecasts"] == 1
    far = scored.assign(horizon=np.where(scored["year"] == 2009, 4, 1))
    assert scores.metrics(far, "ours")["totals"]["n_forecasts"] == 1


def test_comparison_holds_every_model_best_first(scored: pd.DataFrame):
    table = scores.compare(scored)
    assert table.loc["totals"].index[0] == "ours"
    assert (table["mae_rel_naive"].xs("naive", level="model") == 1).all()
    assert (table["pinball_rel_autoets"].xs("auto_ets", level="model") == 1).all()
    assert table.loc[("all", "ours"), "width_80"] == pytest.approx(2)


def test_missing_model_is_named(scored: pd.DataFrame):
    with pytest.raises(VindimaError, match="auto_ets missing"):
        scores.metrics(scored[scored["model"] != "auto_ets"], "ours")


def test_forecasts_of_different_cutoffs_cannot_be_compared(scored: pd.DataFrame):
    shifted = scored.assign(cutoff=scored["cutoff"] + 50 * (scored["model"] == "naive"))
    with pytest.raises(VindimaError, match="found none"):
        scores.metrics(shifted, "ours")


def test_smallest_error_is_chosen_and_the_first_named_wins_a_tie(scored: pd.DataFrame):
    chosen, errors = scores.choose(scored, ["naive", "ours"])
    assert chosen == "ours"
    assert errors == {"naive": pytest.approx(2.3 / 3, rel=1e-5), "ours": pytest.approx(1.9 / 3, rel=1e-5)}
    assert scores.choose(scored, ["auto_ets", "naive"])[0] == "auto_ets"


def test_metrics_file_is_plain_json(scored: pd.DataFrame, tmp_path: Path):
    stand = scores.metrics(scored, "ours")
    scores.write_metrics(stand, tmp_path / "reports" / "metrics.json")
    assert json.loads((tmp_path / "reports" / "metrics.json").read_text()) == stand
