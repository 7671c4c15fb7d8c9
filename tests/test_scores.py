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
            "actual_published": np.exp(log_errors),
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


def metrics(scored: pd.DataFrame) -> dict[str, dict]:
    return scores.metrics(scores.stand(scored, "ours"), "ours")


def test_metrics_have_the_words_of_the_contract_and_ratios_of_means(scored: pd.DataFrame):
    stand = metrics(scored)
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
    assert metrics(lacking)["totals"]["n_forecasts"] == 1


def test_forecast_without_an_actual_and_longer_horizons_are_left_out(scored: pd.DataFrame):
    unknown = scored.assign(actual=scored["actual"].mask(scored["year"] == 2009))
    assert metrics(unknown)["totals"]["n_forecasts"] == 1
    far = scored.assign(horizon=np.where(scored["year"] == 2009, 4, 1))
    assert metrics(far)["totals"]["n_forecasts"] == 1


def test_stand_holds_every_model_best_first_in_every_group(scored: pd.DataFrame):
    table = scores.stand(scored, "ours")
    keys = table[["actuals", "by", "group"]].drop_duplicates()
    groups = [("all", "all"), ("totals", "totals"), ("horizon", "1"), ("flow", "imports"), ("product", "raisins")]
    groups += [("total", "imports.raisins")]
    assert list(keys.itertuples(index=False, name=None)) == [
        (actuals, *group) for actuals in ("corrected", "published") for group in groups
    ]
    totals = table[(table["by"] == "totals") & (table["actuals"] == "corrected")].set_index("model")
    assert totals.index[0] == "ours"
    assert totals.loc["ours", "median_ae"] == pytest.approx(0.2)
    assert (table.loc[table["model"] == "naive", "mae_rel_naive"] == 1).all()
    assert (table.loc[table["model"] == "auto_ets", "pinball_rel_autoets"] == 1).all()
    assert table.loc[table["model"] == "ours", "width_80"].to_numpy() == pytest.approx(2)


def test_record_counts_what_the_intervals_of_one_series_held_at_each_horizon():
    inside, between, outside = 0.5, 1.5, 3.0  # the sides are at 1 and at 2
    made = pd.concat(
        [rows("ours", [inside, between, outside]), rows("ours", [inside], series="imports.raisins.ARG"),
         rows("naive", [outside] * 3)]
    )  # fmt: skip
    far = made.assign(horizon=2, actual=made["actual"].mask(made["cutoff"] == made["cutoff"].max()))
    record = scores.record(pd.concat([made, far]), "ours")
    assert record.to_numpy().tolist() == [
        ["imports.raisins", 1, 3, 1, 2], ["imports.raisins", 2, 2, 1, 2],
        ["imports.raisins.ARG", 1, 1, 1, 1], ["imports.raisins.ARG", 2, 1, 1, 1],
    ]  # fmt: skip


def test_ours_rel_is_the_error_of_ours_over_that_of_each(scored: pd.DataFrame):
    totals = scores.stand(scored, "ours").query("by == 'totals'").set_index("model")["ours_rel"]
    assert totals["ours"].eq(1).all()
    assert totals["auto_ets"].eq(0.5).all()


def test_published_prices_are_scored_over_the_same_forecasts(scored: pd.DataFrame):
    published = scored.assign(actual_published=scored["actual"].where(scored["year"] == 2008, 1.0))
    published.loc[(published["year"] == 2008) & (published["series"] != "imports.raisins"), "actual"] = np.nan
    table = scores.stand(published, "ours").query("by == 'all' and model == 'ours'").set_index("actuals")
    assert table["n_forecasts"].to_list() == [2, 2]
    assert table["mae"].to_list() == pytest.approx([0.2, 0.05])


def errors_by_cutoff(factors: np.ndarray) -> pd.DataFrame:
    """Ours errs at each cutoff `factors` times as much as naive and AutoETS, whose errors vary."""
    naive = 0.1 + 0.1 * (np.arange(len(factors)) % 4)
    errors = {"naive": naive, "auto_ets": naive, "ours": factors * naive}
    return pd.concat([rows(model, list(log)) for model, log in errors.items()])


def test_ratio_that_is_the_same_at_every_cutoff_is_certain():
    row = scores.stand(errors_by_cutoff(np.full(16, 0.9)), "ours").query("by == 'all' and model == 'ours'").iloc[0]
    assert (row["mae_rel_naive_low"], row["mae_rel_naive"], row["mae_rel_naive_high"]) == (0.9, 0.9, 0.9)


def test_few_cutoffs_give_no_interval(scored: pd.DataFrame):
    assert scores.stand(scored, "ours")[["mae_rel_naive_low", "ours_rel_high"]].isna().all(axis=None)


def test_runs_of_good_cutoffs_make_a_ratio_less_certain_than_single_ones():
    """Sixteen cutoffs, half of them good: blocks of three see that neighbours are alike."""
    limits = {}
    for name, factors in (("runs", np.repeat([0.5, 1.5], 8)), ("alternating", np.tile([0.5, 1.5], 8))):
        row = scores.stand(errors_by_cutoff(factors), "ours").query("by == 'all' and model == 'ours'").iloc[0]
        assert row["mae_rel_naive_low"] < row["mae_rel_naive"] < row["mae_rel_naive_high"]
        limits[name] = row["mae_rel_naive_high"] - row["mae_rel_naive_low"]
    assert limits["runs"] > 1.5 * limits["alternating"]


def test_a_difference_is_found_about_as_often_as_the_interval_says():
    """Ratios whose truth is 1: the 95 per cent interval leaves it out in about one of twenty."""
    argentina, models = "imports.raisins.ARG", ("naive", "auto_ets", "ours")
    random = np.random.default_rng(5)
    outside = 0
    for _ in range(40):
        made = pd.concat([rows(model, list(random.laplace(0, 0.2, 16)), series=argentina) for model in models])
        row = scores.stand(made, "ours").query("by == 'all' and model == 'ours'").iloc[0]
        outside += not row["mae_rel_naive_low"] <= 1 <= row["mae_rel_naive_high"]
    assert outside <= 6


def test_missing_model_is_named(scored: pd.DataFrame):
    with pytest.raises(VindimaError, match="auto_ets missing"):
        scores.stand(scored[scored["model"] != "auto_ets"], "ours")


def test_forecasts_of_different_cutoffs_cannot_be_compared(scored: pd.DataFrame):
    shifted = scored.assign(cutoff=scored["cutoff"] + 50 * (scored["model"] == "naive"))
    with pytest.raises(VindimaError, match="found none"):
        scores.stand(shifted, "ours")


def test_smallest_error_is_chosen_and_the_first_named_wins_a_tie(scored: pd.DataFrame):
    chosen, errors = scores.choose(scored, ["naive", "ours"])
    assert chosen == "ours"
    assert errors == {"naive": pytest.approx(2.3 / 3, rel=1e-5), "ours": pytest.approx(1.9 / 3, rel=1e-5)}
    assert scores.choose(scored, ["auto_ets", "naive"])[0] == "auto_ets"


def test_metrics_file_is_plain_json(scored: pd.DataFrame, tmp_path: Path):
    stand = metrics(scored)
    scores.write_metrics(stand, tmp_path / "reports" / "metrics.json")
    assert json.loads((tmp_path / "reports" / "metrics.json").read_text()) == stand


def test_stand_is_written_as_csv_that_reads_back(scored: pd.DataFrame, tmp_path: Path):
    table = scores.stand(scored, "ours")
    scores.write_stand(table, tmp_path / "scores.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "scores.csv", dtype={"group": str}), table)
