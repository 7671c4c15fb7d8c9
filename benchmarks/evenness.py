"""How evenly the intervals hold: the calibration without and with what it reads beyond width, volatility and volume.

`python -m benchmarks.evenness` rolls the published model once over the stored figures (a minute), calibrates its
forecasts both ways at every cutoff by the errors that the cutoff knew, and prints a table for each window: the one
that is scored, and 1999–2006, which no choice has seen.

Unevenness between series is the χ² of homogeneity per degree of freedom: Σ (held - n · share)² / (n · share · (1 -
share)) over the series, share being that of all, divided by their number less 1. Chance alone would give:

- one year ahead 1, since forecasts of one series do not overlap: the count of each is binomial. Intervals of one
  cutoff hold or fail together; a shuffle of the outcomes among the series of each cutoff keeps that, and 95 in 100
  shuffles stay below the number given.
- over horizons 1 to 3 more than 1, since years ahead that overlap are partly the same. The variance of a count is the
  sum of the covariances of its pairs. Each kind of pair (both horizons, years between the cutoffs) has the mean
  product over all series. What pairs without a common year have is no chance, it is what the series differ by, and is
  taken off.
"""

import numpy as np
import pandas as pd

from vindima import paths
from vindima.etl import prices as unit_values
from vindima.etl import schemas
from vindima.forecasting import backtest, intervals, scores
from vindima.quantiles import QUANTILES

MODEL = "joint"
HORIZONS = [1, 2, 3, 4, 5]
WINDOWS = {"2007–2023": (2007, 2023), "1999–2006": (1999, 2006)}
CALIBRATIONS = {"before": intervals.PLAIN, "after": intervals.FEATURES}
SHUFFLES = 1000


def rolled() -> pd.DataFrame:
    """The model's own forecasts at every cutoff from 1995 on, and `actual`: null where only likely corrected."""
    prices = unit_values.for_forecasts(paths.TIDY, paths.PRICES)
    made = backtest.rolling(MODEL, prices, range(backtest.WARM_UP, int(prices["year"].max())), HORIZONS)
    corrections = schemas.read(paths.TIDY / "corrections.parquet")
    confirmed = unit_values.as_confirmed(schemas.read(paths.TIDY / "trade.parquet"), corrections)
    there = made.merge(confirmed[["series", "year", "price_usd_kg"]], on=["series", "year"], how="left")
    actual = np.exp(made["log_actual"])
    return made.assign(actual=actual.where(np.isclose(actual, there["price_usd_kg"], rtol=1e-12)))


def calibrated(own: pd.DataFrame, features: tuple[str, ...], first: int) -> pd.DataFrame:
    """Errors (`scores.log_errors`) of the forecasts from the cutoff `first` on, each corrected by earlier ones."""
    made = [
        intervals.corrected(
            own[own["cutoff"] == cutoff], intervals.calibrate(backtest.past_errors(own, cutoff), features)
        )
        for cutoff in range(first, int(own["cutoff"].max()) + 1)
    ]
    quantiles = pd.concat(made, ignore_index=True)
    quantiles[list(QUANTILES)] = np.exp(quantiles[list(QUANTILES)])
    return scores.log_errors(quantiles.assign(model=MODEL))


def homogeneity(errors: pd.DataFrame) -> float:
    """χ² per degree of freedom of how often the 80 per cent intervals of each series held."""
    counts = errors.groupby("series")["inside_80"].agg(["sum", "size"])
    share = counts["sum"].sum() / counts["size"].sum()
    squares = (counts["sum"] - share * counts["size"]) ** 2 / (share * (1 - share) * counts["size"])
    return float(squares.sum() / (len(counts) - 1))


def shuffled(errors: pd.DataFrame) -> float:
    """What 95 in 100 shuffles of the outcomes among the series of each cutoff stay below."""
    random = np.random.default_rng(scores.SEED)
    ordered = errors.sort_values(["cutoff", "series"])
    parts = [held.to_numpy() for _, held in ordered.groupby("cutoff")["inside_80"]]
    found = [
        homogeneity(ordered.assign(inside_80=np.concatenate([random.permutation(part) for part in parts])))
        for _ in range(SHUFFLES)
    ]
    return float(np.quantile(found, 0.95))


def overlapping(errors: pd.DataFrame) -> float:
    """The χ² per degree of freedom that chance gives forecasts whose years overlap; 1 where none do."""
    share = errors["inside_80"].mean()
    rows = errors[["series", "cutoff", "horizon"]].assign(off=errors["inside_80"] - share)
    pairs = rows.merge(rows, on="series", suffixes=("", "_later"))
    apart = pairs["cutoff_later"] - pairs["cutoff"]
    pairs = pairs[(apart > 0) | ((apart == 0) & (pairs["horizon"] < pairs["horizon_later"]))]
    pairs = pairs.assign(apart=pairs["cutoff_later"] - pairs["cutoff"], product=pairs["off"] * pairs["off_later"])
    common = pairs["apart"] < pairs["horizon"]
    far = pairs.loc[~common, "product"].mean()
    covariance = pairs[common].groupby(["horizon", "horizon_later", "apart"])["product"].transform("mean") - far
    counts = rows["series"].value_counts()
    more = 2 * covariance.groupby(pairs.loc[common, "series"]).sum().reindex(counts.index, fill_value=0.0)
    return float(1 + (more / (counts * share * (1 - share))).mean())


def line(errors: pd.DataFrame, before: pd.DataFrame, ets: pd.DataFrame) -> dict[str, str]:
    """The numbers of one calibration in one window: measure → value."""
    near = errors[errors["horizon"].isin(scores.SCORED_HORIZONS)]
    one, totals = near[near["horizon"] == 1], near[near["total"]]
    sums = [
        frame.groupby("cutoff")["pinball"].sum()
        for frame in (near, before[before["horizon"].isin(scores.SCORED_HORIZONS)])
    ]
    draws = scores._draws(near["cutoff"])
    low, high = (draws.dot(sums[0]) / draws.dot(sums[1])).quantile([0.025, 0.975])
    fifth = pd.qcut(near["width_80"].rank(method="first"), 5, labels=False)

    def beside(rows: pd.DataFrame) -> str:
        both = rows.merge(ets, on=["series", "cutoff", "horizon"], suffixes=("", "_ets"))
        return f"{both['pinball'].sum() / both['pinball_ets'].sum():.3f}" if len(both) else "–"

    def held(rows: pd.DataFrame, level: int = 80) -> str:
        return f"{100 * rows[f'inside_{level}'].mean():.1f}"

    return {
        "pinball, of AutoETS: all / totals": f"{beside(near)} / {beside(totals)}",
        "pinball, of before": f"{sums[0].sum() / sums[1].sum():.3f} [{low:.3f}–{high:.3f}]",
        "held of 80 / 95: all": f"{held(near)} / {held(near, 95)}",
        "held of 80 / 95: totals": f"{held(totals)} / {held(totals, 95)}",
        "of 80 by fifth of width, narrow first": " ".join(held(rows) for _, rows in near.groupby(fifth)),
        "of 80 by horizon 1–5": " ".join(held(rows) for _, rows in errors.groupby("horizon")),
        "χ² by series, one year ahead": f"{homogeneity(one):.2f} (chance 1, to {shuffled(one):.2f})",
        "χ² by series, horizons 1–3": f"{homogeneity(near):.2f} (chance {overlapping(near):.2f})",
    }


def tables() -> dict[str, pd.DataFrame]:
    """Window → measures (rows) before and after (columns)."""
    own = rolled()
    ets = schemas.read(paths.BENCHMARK / "benchmark.parquet")
    ets = scores.log_errors(ets[ets["model"] == "auto_ets"])[["series", "cutoff", "horizon", "pinball"]]
    first = min(window[0] for window in WINDOWS.values())
    errors = {name: calibrated(own, features, first) for name, features in CALIBRATIONS.items()}
    found = {}
    for title, (start, end) in WINDOWS.items():
        here = {name: frame[frame["cutoff"].between(start, end)] for name, frame in errors.items()}
        found[title] = pd.DataFrame({name: line(frame, here["before"], ets) for name, frame in here.items()})
    return found


def main() -> None:
    """Print the tables as Markdown."""
    for title, table in tables().items():
        print(f"\n| cutoffs {title} | before | after |\n|---|--:|--:|")
        for measure, row in table.iterrows():
            print(f"| {measure} | {row['before']} | {row['after']} |")


if __name__ == "__main__":
    main()
