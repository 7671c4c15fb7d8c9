"""How forecasts did against what came: errors of the log price, beside naive and AutoETS on the same forecasts."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from vindima.errors import VindimaError
from vindima.etl.schemas import QUANTILES
from vindima.forecasting.stored import six_digits, write_text

SCORED_HORIZONS = (1, 2, 3)
_KEY = ["series", "cutoff", "horizon"]


def log_errors(scored: pd.DataFrame) -> pd.DataFrame:
    """One row for each row of `scored` with an actual: its key, `model`, `total`, and what the scores average.

    `absolute` and `square`: of log actual - log q50. `pinball`: mean over the five quantiles of the log price.
    `inside_80`, `inside_95`: whether the price fell in the interval. `width_80`, `width_95`: of the log intervals.
    """
    rows = scored[scored["actual"].notna()]
    actual = np.log(rows["actual"])
    quantiles = np.log(rows[list(QUANTILES)])
    error = actual - quantiles["q50"]
    losses = [
        np.maximum(alpha * (actual - quantiles[name]), (alpha - 1) * (actual - quantiles[name]))
        for name, alpha in QUANTILES.items()
    ]
    return rows[[*_KEY, "model"]].assign(
        total=rows["series"].str.count(r"\.") == 1,
        absolute=error.abs(),
        square=error**2,
        pinball=sum(losses) / len(losses),
        inside_80=rows["actual"].between(rows["q10"], rows["q90"]),
        inside_95=rows["actual"].between(rows["q025"], rows["q975"]),
        width_80=quantiles["q90"] - quantiles["q10"],
        width_95=quantiles["q975"] - quantiles["q025"],
    )


def _shared(scored: pd.DataFrame, horizons: Iterable[int]) -> pd.DataFrame:
    """Errors at `horizons` of the (series, cutoff, horizon) that every model of `scored` has."""
    errors = log_errors(scored[scored["horizon"].isin(list(horizons))])
    models = scored["model"].nunique()
    errors = errors[errors.groupby(_KEY)["model"].transform("nunique") == models]
    if errors.empty:
        raise VindimaError(
            f"scores: expected forecasts of {', '.join(sorted(scored['model'].unique()))} for the same series, "
            "cutoffs and horizons with a price to score against, found none"
        )
    return errors


def compare(scored: pd.DataFrame, horizons: Iterable[int] = SCORED_HORIZONS) -> pd.DataFrame:
    """Scores of every model of `scored` over the forecasts that all of them made, all series and totals alone.

    `scored` holds rows of the backtest and benchmark tables, `naive` and `auto_ets` among them. The answer is
    indexed by (group, model), best first: `n_series, n_forecasts, mae, rmse, pinball` in log price, `mae_rel_naive,
    rmse_rel_naive, pinball_rel_autoets` (ratios of means), `coverage_80, coverage_95` (shares), `width_80, width_95`.
    """
    errors = _shared(scored, horizons)
    groups = {"all": errors, "totals": errors[errors["total"]]}
    tables = []
    for rows in groups.values():
        by = rows.groupby("model")
        table = pd.DataFrame(
            {
                "n_series": by["series"].nunique(),
                "n_forecasts": by.size(),
                "mae": by["absolute"].mean(),
                "rmse": np.sqrt(by["square"].mean()),
                "pinball": by["pinball"].mean(),
                "coverage_80": by["inside_80"].mean(),
                "coverage_95": by["inside_95"].mean(),
                "width_80": by["width_80"].mean(),
                "width_95": by["width_95"].mean(),
            }
        )
        table["mae_rel_naive"] = table["mae"] / table["mae"]["naive"]
        table["rmse_rel_naive"] = table["rmse"] / table["rmse"]["naive"]
        table["pinball_rel_autoets"] = table["pinball"] / table["pinball"]["auto_ets"]
        tables.append(table.sort_values("mae"))
    return pd.concat(tables, keys=groups, names=["group"])


def metrics(scored: pd.DataFrame, model: str, horizons: Iterable[int] = SCORED_HORIZONS) -> dict[str, dict]:
    """The stand of the published `model`: `{"all": M, "totals": M}`, beside naive and AutoETS on the same forecasts.

    M = `n_series, n_forecasts, horizons, mae_rel_naive, rmse_rel_naive, pinball_rel_autoets, coverage_80,
    coverage_95`, numbers to 6 significant digits. Raises VindimaError where one of the three is missing.
    """
    needed = {model, "naive", "auto_ets"}
    if missing := needed - set(scored["model"]):
        raise VindimaError(
            f"scores: expected forecasts of {', '.join(sorted(needed))}; {', '.join(sorted(missing))} missing"
        )
    table = compare(scored[scored["model"].isin(needed)], horizons).reset_index()
    ratios = ["mae_rel_naive", "rmse_rel_naive", "pinball_rel_autoets", "coverage_80", "coverage_95"]
    answer: dict[str, dict] = {}
    for row in table[table["model"] == model].to_dict("records"):
        counts = {"n_series": int(row["n_series"]), "n_forecasts": int(row["n_forecasts"])}
        answer[row["group"]] = (
            counts | {"horizons": list(horizons)} | {name: float(six_digits(row[name])) for name in ratios}
        )
    return answer


def write_metrics(stand: dict[str, dict], path: Path) -> None:
    """Write the answer of `metrics` to `path` as JSON."""
    write_text(json.dumps(stand, indent=2) + "\n", path)


def choose(scored: pd.DataFrame, candidates: Iterable[str]) -> tuple[str, dict[str, float]]:
    """The candidate with the smallest mean absolute log error at horizons 1 to 3, all series, and all their errors.

    Compared over the forecasts that all candidates made; the first named wins a tie.
    """
    names = list(candidates)
    if missing := set(names) - set(scored["model"]):
        raise VindimaError(
            f"backtest: expected forecasts of {', '.join(names)}; {', '.join(sorted(missing))} missing"
        )
    errors = _shared(scored[scored["model"].isin(names)], SCORED_HORIZONS)
    means = errors.groupby("model")["absolute"].mean()
    by_name = {name: float(six_digits(means[name])) for name in names}
    return min(names, key=by_name.__getitem__), by_name
