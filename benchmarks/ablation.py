"""What each ingredient of the published model is worth: it is taken out alone, and all is forecast again.

`make ablation` (about ten minutes on two cores) rolls every variant over the stored figures, from 1995 on, with
parameters, weights and calibrations that knew no more than their cutoff, and scores it against the same prices over
the same forecasts: horizons 1 to 3, cutoffs 2007 to the last. A ratio above 1 is what is lost without the ingredient;
its limits are those of a block bootstrap over cutoffs, as in `reports/scores.csv`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.evenness import HORIZONS, MODEL
from vindima import paths
from vindima.etl import prices as unit_values
from vindima.etl import schemas
from vindima.forecasting import backtest, joint, models, scores
from vindima.forecasting.joint import JointLevels
from vindima.quantiles import QUANTILES

FIRST = 2007
ALL_ALIKE = 1e9
"""Degrees of freedom, or prices, beyond which nothing has heavy tails, or a noise of its own."""


class Alone(JointLevels):
    """The same model for each series by itself, with parameters of its own: no pooling."""

    def _fit_panel(self, y: pd.DataFrame, X: pd.DataFrame | None, given: dict[str, Any]) -> None:
        assert X is not None
        names = y.index.get_level_values(0).unique()
        alone = {"world_sd": 0.0, "product_sd": 0.0, "market_sd": 0.0, "country_sd": 0.0}
        self._each = [
            JointLevels(**(given | alone)).fit(y.loc[[name]], X=None if X is None else X.loc[[name]])
            for name in names
        ]

    def _predict(self, fh: Any, X: pd.DataFrame | None) -> pd.DataFrame:
        return pd.concat([one.predict(fh=fh) for one in self._each])

    def _predict_quantiles(self, fh: Any, X: pd.DataFrame | None, alpha: list[float]) -> pd.DataFrame:
        return pd.concat([one.predict_quantiles(fh=fh, alpha=alpha) for one in self._each])


@contextmanager
def changed(place: Any, name: str, value: object) -> Iterator[None]:
    """While it lasts, `place` has another value under `name`."""
    before = place[name] if isinstance(place, dict) else getattr(place, name)
    put = place.__setitem__ if isinstance(place, dict) else partial(setattr, place)
    put(name, value)
    try:
        yield
    finally:
        put(name, before)


def rolled(prices: pd.DataFrame, make: Callable[[], JointLevels] = JointLevels) -> pd.DataFrame:
    """The forecasts of the model that `make` makes at every cutoff from 1995 on, as `backtest.rolling` gives them."""
    with changed(models.MODELS, MODEL, make):
        return backtest.rolling(MODEL, prices, range(backtest.WARM_UP, int(prices["year"].max())), HORIZONS[:3])


def variants(prices: pd.DataFrame, published: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """What is taken out, and the forecasts without it; `published` are the prices before any correction."""
    whole = rolled(prices)
    yield "nothing", calibrated(whole)
    yield "the calibration", whole
    nominal = prices.assign(price_usd_kg_real=prices["price_usd_kg"])
    without: Mapping[str, Callable[[], pd.DataFrame]] = {
        "pooling: each series alone": partial(rolled, prices, Alone),
        "volume in the noise": partial(rolled, prices, partial(JointLevels, noise_power=0.0, own_power=0.0)),
        "deflation": partial(rolled, nominal),
        "the world factor": partial(rolled, prices, partial(JointLevels, world_sd=0.0)),
        "product factors": partial(rolled, prices, partial(JointLevels, product_sd=0.0)),
        "market factors": partial(rolled, prices, partial(JointLevels, market_sd=0.0)),
        "country factors": partial(rolled, prices, partial(JointLevels, country_sd=0.0)),
        "corrections of the figures": partial(rolled, published),
    }
    for name, make in without.items():
        yield name, calibrated(make())
    for name, constant in (("heavy tails", "NOISE_DF"), ("a noise of its own for each series", "AS_ALL")):
        with changed(joint, constant, ALL_ALIKE):
            yield name, calibrated(rolled(prices))


def calibrated(rows: pd.DataFrame) -> pd.DataFrame:
    """As the published model is: corrected at each cutoff by what the errors known at it teach."""
    return backtest.calibrated(rows, rows["cutoff"].unique())


def table(made: Mapping[str, pd.DataFrame], actual: pd.DataFrame) -> pd.DataFrame:
    """A row for each variant: errors and pinball loss beside those of nothing taken out, with their limits, and
    coverage. `actual` has the prices that all are scored against: `series, year, price_usd_kg`."""
    errors = {name: _errors(rows, actual) for name, rows in made.items()}
    key = ["series", "cutoff", "horizon"]
    counts = pd.concat([one[key] for one in errors.values()]).value_counts()
    kept = counts[counts == len(errors)].index
    errors = {name: one.set_index(key).loc[kept].reset_index() for name, one in errors.items()}
    draws = scores._draws(errors["nothing"]["cutoff"])
    rows = []
    for name, one in errors.items():
        row: dict[str, object] = {"taken out": name}
        for group, chosen in (("all", one), ("totals", one[one["total"]])):
            whole = errors["nothing"] if group == "all" else errors["nothing"][errors["nothing"]["total"]]
            for loss in ("absolute", "pinball"):
                sums = [
                    of.groupby("cutoff")[loss].sum().reindex(draws.columns, fill_value=0.0) for of in (chosen, whole)
                ]
                drawn = draws.dot(sums[0]) / draws.dot(sums[1])
                low, high = drawn.quantile(0.025), drawn.quantile(0.975)
                row[f"{loss}, {group}"] = f"{sums[0].sum() / sums[1].sum():.3f} [{low:.3f}–{high:.3f}]"
        row["held of 80 / 95"] = f"{one['inside_80'].mean():.1%} / {one['inside_95'].mean():.1%}".replace("%", "")
        rows.append(row)
    return pd.DataFrame(rows)


def _errors(rows: pd.DataFrame, actual: pd.DataFrame) -> pd.DataFrame:
    there = rows[rows["cutoff"] >= FIRST].drop(columns="log_actual").merge(actual, on=["series", "year"])
    there[list(QUANTILES)] = np.exp(there[list(QUANTILES)])
    return scores.log_errors(there.rename(columns={"price_usd_kg": "actual"}).assign(model=MODEL))


def main() -> None:
    """Print the table in Markdown."""
    trade = schemas.read(paths.TIDY / "trade.parquet")
    prices = unit_values.for_forecasts(paths.TIDY, paths.PRICES)
    uncorrected = trade.assign(**{name: trade[f"{name}_published"] for name in unit_values.MEASURES})
    rates, levels = (schemas.read(paths.PRICES / f"{name}.parquet") for name in ("exchange_rates", "price_levels"))
    published = unit_values.prices(uncorrected, rates, levels, None, "duckdb")
    confirmed = unit_values.as_confirmed(trade, schemas.read(paths.TIDY / "corrections.parquet"))
    used = prices.merge(confirmed, on=["series", "year"], suffixes=("", "_confirmed"))
    actual = used.loc[np.isclose(used["price_usd_kg"], used["price_usd_kg_confirmed"], rtol=1e-12)]
    made = table(dict(variants(prices, published)), actual[["series", "year", "price_usd_kg"]])
    print("| " + " | ".join(made.columns) + " |")
    print("|---" + "|--:" * (len(made.columns) - 1) + "|")
    for row in made.itertuples(index=False):
        print("| " + " | ".join(map(str, row)) + " |")


if __name__ == "__main__":
    main()
