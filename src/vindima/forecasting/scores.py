"""How forecasts did against what came: errors of the log price, beside naive and AutoETS on the same forecasts."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from vindima import files
from vindima.errors import VindimaError
from vindima.etl import schemas
from vindima.forecasting.stored import six_digits
from vindima.quantiles import QUANTILES, SIDES
from vindima.series import is_total

SCORED_HORIZONS = (1, 2, 3)
ACTUALS = {"corrected": "actual", "published": "actual_published"}
"""Which prices forecasts are held against → their column in the backtest table."""
RATIOS = {
    "mae_rel_naive": ("absolute", "naive"),
    "rmse_rel_naive": ("square", "naive"),
    "pinball_rel_autoets": ("pinball", "auto_ets"),
}
"""Ratio → what is averaged in both, and the model below the line."""
FEWEST_FORECASTS = 10
"""With fewer scored forecasts a share of them says nothing: of 9, promised 80 in 100, chance alone gives 5 to 9."""
BLOCK = 3
"""Cutoffs in a row that are drawn together: the target years of horizons 1 to 3 overlap over as many."""
RESAMPLES = 2000
SEED = 1970
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
    by_level = {
        f"inside_{level}": rows["actual"].between(rows[low], rows[high]) for level, (low, high) in SIDES.items()
    }
    widths = {f"width_{level}": quantiles[high] - quantiles[low] for level, (low, high) in SIDES.items()}
    return rows[[*_KEY, "model"]].assign(
        total=is_total(rows["series"]),
        absolute=error.abs(),
        square=error**2,
        pinball=sum(losses) / len(losses),
        **by_level,
        **widths,
    )


def by_horizon(scored: pd.DataFrame) -> pd.DataFrame:
    """Mean absolute error of the log price: a row for each horizon, a column for each model of `scored`."""
    return log_errors(scored).pivot_table(index="horizon", columns="model", values="absolute", aggfunc="mean")


def _shared(scored: pd.DataFrame) -> pd.DataFrame:
    """Errors of the (series, cutoff, horizon) that every model of `scored` has."""
    errors = log_errors(scored)
    models = scored["model"].nunique()
    errors = errors[errors.groupby(_KEY)["model"].transform("nunique") == models]
    if not errors["horizon"].isin(SCORED_HORIZONS).any():
        raise VindimaError(
            f"scores: expected forecasts of {', '.join(sorted(scored['model'].unique()))} for the same series, "
            "cutoffs and horizons 1 to 3 with a price to score against, found none"
        )
    return errors


def stand(scored: pd.DataFrame, model: str) -> pd.DataFrame:
    """The table of the contract `scores`: how every model of `scored` did, and how `model`, ours, did beside it.

    `scored` holds rows of the backtest and benchmark tables, with `naive` and `auto_ets` among the models. Only
    forecasts that all its models made count. They are scored twice: against the corrected prices and against the
    published ones (`actuals`). Each time all forecasts are scored together, then the totals, each flow, product and
    total by itself, at horizons 1 to 3, and each horizon by itself (`by`, `group`). Within a group the model with the
    smallest error comes first.

    Errors are of the log price. A ratio is one mean over another: `mae_rel_naive` the error over that of naive,
    `ours_rel` the error of `model` over this row's. Its `_low` and `_high` are the 95 per cent interval of a circular
    block bootstrap over cutoffs (Politis and Romano 1992), which draws all forecasts of three cutoffs in a row
    together; null with fewer than six cutoffs. Numbers have 6 significant digits. Raises VindimaError where `model`,
    naive or AutoETS is missing.
    """
    needed = {model, "naive", "auto_ets"}
    if missing := needed - set(scored["model"]):
        raise VindimaError(
            f"scores: expected forecasts of {', '.join(sorted(needed))}; {', '.join(sorted(missing))} missing"
        )
    confirmed = scored[scored["actual"].notna()]
    tables = []
    for actuals, column in ACTUALS.items():
        errors = _shared(confirmed.assign(actual=confirmed[column]))
        draws = _draws(errors["cutoff"])
        for by, group, rows in _groups(errors):
            table = _table(rows, draws, model)
            tables.append(table.assign(actuals=actuals, by=by, group=group))
    table = pd.concat(tables).reset_index()
    counts = ["n_series", "n_forecasts"]
    words = ["actuals", "by", "group", "model"]
    numbers = table.drop(columns=[*words, *counts]).apply(six_digits)
    return pd.concat([table[words + counts], numbers], axis=1)


def _groups(errors: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """What is scored apart: (by, group, its errors)."""
    near = errors[errors["horizon"].isin(SCORED_HORIZONS)]
    names = near["series"].str.split(".", expand=True)
    yield "all", "all", near
    totals = near[near["total"]]
    if len(totals):
        yield "totals", "totals", totals
    for by, keyed, keys in (
        ("horizon", errors, errors["horizon"]),
        ("flow", near, names[0]),
        ("product", near, names[1]),
        ("total", totals, totals["series"]),
    ):
        for group, rows in keyed.groupby(keys):
            yield by, str(group), rows


def record(scored: pd.DataFrame, model: str) -> pd.DataFrame:
    """How often the intervals of `model` held, for each series and horizon: its own record, in counts.

    Columns `series, horizon, n_forecasts, held_80, held_95`, of the rows of `scored` that have an actual.
    """
    rows = scored[(scored["model"] == model) & scored["actual"].notna()]
    held = {f"held_{level}": rows["actual"].between(rows[low], rows[high]) for level, (low, high) in SIDES.items()}
    by = rows[["series", "horizon"]].assign(n_forecasts=1, **held).groupby(["series", "horizon"], as_index=False)
    return by.sum()


IN_REAIS = [
    "terms", "group", "n_series", "n_forecasts", "mae_rel_naive", "coverage_80", "coverage_95", "held_80", "held_95",
]  # fmt: skip


def in_reais(backtest: pd.DataFrame, model: str) -> list[dict]:
    """How the forecasts of `model` in reais did at horizons 1 to 3, by the table `backtest_reais`.

    A row, columns `IN_REAIS`, for each of the terms and groups (`all`, `totals`, and each total). Naive is the last
    price at the rate of the cutoff.
    """
    near = backtest[(backtest["model"] == model) & backtest["horizon"].isin(SCORED_HORIZONS)]
    near = near[near["actual"].notna()]
    rows = []
    for terms, known in near.groupby("terms"):
        errors = log_errors(known).assign(naive=abs(np.log(known["actual"] / known["last"])))
        totals = errors[errors["total"]]
        for group, chosen in [("all", errors), ("totals", totals), *totals.groupby("series")]:
            held = {f"held_{level}": int(chosen[f"inside_{level}"].sum()) for level in SIDES}
            shares = {f"coverage_{level}": float(six_digits(chosen[f"inside_{level}"].mean())) for level in SIDES}
            ratio = float(six_digits(chosen["absolute"].mean() / chosen["naive"].mean()))
            counts = {"n_series": chosen["series"].nunique(), "n_forecasts": len(chosen), "mae_rel_naive": ratio}
            rows.append({"terms": terms, "group": group} | counts | shares | held)
    return rows


def _draws(cutoffs: pd.Series) -> pd.DataFrame:
    """How often each cutoff (columns) is drawn in each resample (rows): whole circular blocks, cut to the number."""
    distinct = np.sort(cutoffs.unique())
    count = len(distinct)
    random = np.random.default_rng(SEED)
    starts = random.integers(count, size=(RESAMPLES, -(-count // BLOCK)))
    drawn = ((starts[:, :, None] + np.arange(BLOCK)) % count).reshape(RESAMPLES, -1)[:, :count]
    times = (drawn[:, :, None] == np.arange(count)).sum(axis=1)
    return pd.DataFrame(times, columns=distinct)


def _table(rows: pd.DataFrame, draws: pd.DataFrame, ours: str) -> pd.DataFrame:
    """One row for each model of `rows`, best first."""
    by = rows.groupby("model")
    columns: dict[str, pd.Series] = {
        "n_series": by["series"].nunique(),
        "n_forecasts": by.size(),
        "mae": by["absolute"].mean(),
        "median_ae": by["absolute"].median(),
        "rmse": np.sqrt(by["square"].mean()),
        "pinball": by["pinball"].mean(),
    }
    columns |= {f"coverage_{level}": by[f"inside_{level}"].mean() for level in SIDES}
    columns |= {f"width_{level}": by[f"width_{level}"].mean() for level in SIDES}
    sums = rows.groupby(["cutoff", "model"])[["absolute", "square", "pinball"]].sum().unstack("model")
    sums = sums.reindex(draws.columns, fill_value=0.0)
    whole = {loss: pd.DataFrame(sums[loss]).sum() for loss in ("absolute", "square", "pinball")}
    drawn = {loss: draws.dot(pd.DataFrame(sums[loss])) for loss in whole}
    ratios: dict[str, tuple[pd.Series, pd.DataFrame]] = {
        name: (whole[loss] / whole[loss][below], drawn[loss].div(drawn[loss][below], axis=0))
        for name, (loss, below) in RATIOS.items()
    }
    square, squares = ratios["rmse_rel_naive"]
    ratios["rmse_rel_naive"] = square**0.5, squares**0.5
    ratios["ours_rel"] = (
        whole["absolute"][ours] / whole["absolute"],
        drawn["absolute"].rdiv(drawn["absolute"][ours], axis=0),
    )
    known = 1.0 if len(draws.columns) >= 2 * BLOCK else np.nan
    for name, (ratio, resampled) in ratios.items():
        low, high = (known * resampled.quantile(level) for level in (0.025, 0.975))
        columns |= {name: ratio, f"{name}_low": low, f"{name}_high": high}
    return pd.DataFrame(columns).sort_values("mae")


def metrics(table: pd.DataFrame, model: str, reais: list[dict] | None = None) -> dict[str, dict]:
    """How `model` did by the table of `stand`, against the corrected prices: `{"all": M, "totals": M}`.

    M = `n_series, n_forecasts, horizons, mae_rel_naive, rmse_rel_naive, pinball_rel_autoets, coverage_80,
    coverage_95`. With the rows of `in_reais` also `"reais": {"nominal": R, "real": R}`, R as all.
    """
    ours = table[(table["model"] == model) & (table["actuals"] == "corrected") & table["by"].isin(["all", "totals"])]
    found: dict[str, dict] = {}
    for row in ours.to_dict("records"):
        counts = {"n_series": int(row["n_series"]), "n_forecasts": int(row["n_forecasts"])}
        names = [*RATIOS, "coverage_80", "coverage_95"]
        found[row["by"]] = counts | {"horizons": list(SCORED_HORIZONS)} | {name: float(row[name]) for name in names}
    for row in reais or []:
        if row["group"] in ("all", "totals"):
            told = {name: row[name] for name in row if name not in ("terms", "group", "held_80", "held_95")}
            found.setdefault("reais", {}).setdefault(row["terms"], {})[row["group"]] = told
    return found


def write_metrics(stand: dict[str, dict], path: Path) -> None:
    """Write what `metrics` gives to `path` as JSON."""
    files.write(path, json.dumps(stand, indent=2) + "\n")


def write_stand(table: pd.DataFrame, path: Path) -> None:
    """Write the table of `stand` to `path` as CSV, in its order. Raises VindimaError where it breaks its contract."""
    schemas.validate(table, schemas.SCORES)
    files.write(path, table.to_csv(index=False, lineterminator="\n"))


def choose(scored: pd.DataFrame, candidates: Iterable[str]) -> tuple[str, dict[str, float]]:
    """The candidate with the smallest mean absolute log error at horizons 1 to 3, all series, and all their errors.

    Compared over the forecasts that all candidates made; the first named wins a tie.
    """
    names = list(candidates)
    if missing := set(names) - set(scored["model"]):
        raise VindimaError(
            f"backtest: expected forecasts of {', '.join(names)}; {', '.join(sorted(missing))} missing"
        )
    errors = _shared(scored[scored["model"].isin(names)])
    means = errors[errors["horizon"].isin(SCORED_HORIZONS)].groupby("model")["absolute"].mean()
    by_name = {name: float(six_digits(means[name])) for name in names}
    return min(names, key=by_name.__getitem__), by_name
