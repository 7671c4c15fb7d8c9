"""Forecasts of monthly prices: a season and a local level, learned from all series together.

`SEASONAL` is the registry of the monthly forecasters, as `vindima.forecasting.models` has the yearly ones; `backtest`
says how they would have done, `ahead` what comes next. Both read the table `monthly` of `vindima.etl.microdata`.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize
from sktime.forecasting.base import BaseForecaster, ForecastingHorizon

from vindima import files
from vindima.errors import VindimaError
from vindima.etl import schemas
from vindima.forecasting import intervals
from vindima.forecasting.level import SEARCH, LocalLevel, known
from vindima.forecasting.models import AutoETS, Naive
from vindima.forecasting.stored import six_digits
from vindima.quantiles import QUANTILES, SIDES
from vindima.series import NEVER_FORECAST

MONTHS = 12
SEASON_SDS = (1e-4, 1.0)
"""The range in which the spread of month effects is searched: from none to prices that double and halve in a year."""
OWN_MONTHS = 12
"""The variance of all series counts as so many months of a series' own."""
PASSES = 3
"""Variances are first those around the means of twelve months, then around the season that these gave."""


class SeasonalLevel(LocalLevel):
    r"""`LocalLevel` of log prices less a season: effects of the month that a product's series share, and their own.

    For the log price y of series i of product p in month t:

        y[i,t] = mu[i,t] + a[p,m(t)] + b[i,m(t)] + eps[i,t]
        a ~ N(0, season_sd^2)    b ~ N(0, own_season_sd^2)    mu, eps as in `LocalLevel`

    A month's effect is seen in how far its log prices stray from the mean of the twelve months around them (of two
    such means, one a month later, so that neither side weighs more); the first six months and the last six say
    nothing. Effects are the means of that by product, and of what is
    left by series, each weighted by the inverse variance of its series and drawn to 0 by the ratio of variances, as
    the normal prior has it (Efron and Morris 1975, section 2). Both spreads maximise the likelihood of these means,
    or are given. So a season that the data do not show comes out as none.

    fit and predict as in `LocalLevel`, with twelve periods to a season: every month from a series' first price on is
    a row, NaN where it has no price. A series named `flow.product.country` is of `flow.product`.

    >>> import pandas as pd
    >>> from vindima.forecasting.seasonal import SeasonalLevel
    >>> months = pd.period_range("2015-01", "2022-12", freq="M")
    >>> log_prices = pd.Series([1.5 if month.month == 12 else 1.0 for month in months], index=months)
    >>> SeasonalLevel(level_sd=0.1, noise_sd=0.1).fit(log_prices).predict(fh=[11, 12]).round(1).tolist()
    [1.0, 1.5]
    """

    def __init__(
        self,
        season_sd: float | None = None,
        own_season_sd: float | None = None,
        level_sd: float | None = None,
        noise_sd: float | None = None,
        volume_power: float | None = None,
        scale_df: float | None = None,
    ) -> None:
        self.season_sd = season_sd
        self.own_season_sd = own_season_sd
        super().__init__(level_sd, noise_sd, volume_power, scale_df)

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Two quick ones for sktime's own checks: all parameters given, with a season and with next to none."""
        given = {"season_sd": 0.1, "own_season_sd": 0.1} | {name: start for name, (start, _) in SEARCH.items()}
        return [given, given | {"season_sd": 0.001, "own_season_sd": 0.001}]

    def _fit_panel(self, y: pd.DataFrame, X: pd.DataFrame | None, given: dict[str, Any]) -> None:
        prices, _ = known(y, X)
        ahead = (np.arange(len(prices)) + 1 - len(prices)) % MONTHS
        season, sds = _season(prices, ahead, given["season_sd"], given["own_season_sd"])
        self.season_sd_, self.own_season_sd_ = sds
        self.season_ = pd.DataFrame(season, columns=prices.columns)
        rest = pd.DataFrame({y.columns[0]: (prices - season[ahead]).unstack().reindex(y.index)})
        super()._fit_panel(rest, X, {name: given[name] for name in SEARCH})

    def _season_at(self, fh: ForecastingHorizon) -> np.ndarray:
        steps = np.asarray(fh.to_relative(self.cutoff), dtype=int)
        return self.season_.to_numpy()[steps % MONTHS].T.ravel()

    def _predict(self, fh: ForecastingHorizon, X: pd.DataFrame | None) -> pd.DataFrame:
        return super()._predict(fh, X).add(self._season_at(fh), axis=0)

    def _predict_quantiles(self, fh: ForecastingHorizon, X: pd.DataFrame | None, alpha: list[float]) -> pd.DataFrame:
        return super()._predict_quantiles(fh, X, alpha).add(self._season_at(fh), axis=0)


def _season(
    prices: pd.DataFrame, ahead: np.ndarray, season_sd: float | None, own_season_sd: float | None
) -> tuple[np.ndarray, tuple[float, float]]:
    """Effects (12 × series) and the spreads of the shared ones and of the series' own; row h is h months ahead."""
    twelve = prices.rolling(MONTHS, min_periods=2)
    around = (twelve.mean().shift(-5) + twelve.mean().shift(-6)) / 2
    around.iloc[: MONTHS // 2] = np.nan
    stray, count = (prices - around).to_numpy(), twelve.count().shift(-6).to_numpy()
    stray, told = np.nan_to_num(stray), np.where(np.isnan(stray), 0.0, 1 - 1 / np.maximum(count, 1))
    products, of_product = np.unique([_product(name) for name in prices.columns], return_inverse=True)
    member = np.eye(len(products))[of_product]
    effects, spreads = np.zeros((MONTHS, prices.shape[1])), (0.0, 0.0)
    for _ in range(PASSES):
        squares = ((stray - told * effects[ahead]) ** 2).sum(axis=0)
        typical = max(squares.sum() / max(told.sum(), 1.0), 1e-12)
        variance = (squares + OWN_MONTHS * typical) / (told.sum(axis=0) + OWN_MONTHS)
        sums, weights = np.zeros((2, *effects.shape))
        np.add.at(sums, ahead, stray / variance)
        np.add.at(weights, ahead, told / variance)
        shared, shared_sd = _shrunken(sums @ member, weights @ member, season_sd)
        own, own_sd = _shrunken(sums - weights * shared[:, of_product], weights, own_season_sd)
        effects, spreads = shared[:, of_product] + own, (shared_sd, own_sd)
    return six_digits(effects), spreads


def _product(series: object) -> str:
    return ".".join(str(series).split(".")[:2])


def _shrunken(sums: np.ndarray, weights: np.ndarray, sd: float | None) -> tuple[np.ndarray, float]:
    """Weighted means, of variance 1 / weight, as their normal prior draws them to 0, less their mean; its spread."""
    seen = weights > 0
    mean, variance = sums[seen] / weights[seen], 1 / weights[seen]

    def surprise(log_sd: float) -> float:
        total = np.exp(2 * log_sd) + variance
        return float((np.log(total) + mean**2 / total).sum())

    if sd is None:
        bounds = tuple(np.log(SEASON_SDS))
        sd = float(six_digits(np.exp(optimize.minimize_scalar(surprise, bounds=bounds, method="bounded").x)))
    effects = np.zeros_like(sums)
    effects[seen] = mean * sd**2 / (sd**2 + variance)
    return effects - effects.mean(axis=0), sd


SEASONAL: dict[str, Callable[[], BaseForecaster]] = {
    "naive": lambda: Naive(strategy="last"),
    "seasonal_naive": lambda: Naive(strategy="last", sp=MONTHS),
    "auto_ets": lambda: AutoETS(season_length=MONTHS),
    "level": LocalLevel,
    "seasonal_level": SeasonalLevel,
}
"""Name → sktime forecaster of the log price, on a monthly PeriodIndex, each given a panel as `panel` makes it."""
POOLED = ("level", "seasonal_level")
"""Those that read gaps as gaps, and the quantity; their intervals are calibrated."""
OURS = "seasonal_level"
HORIZONS = (1, 3, 6, 12)
KILOGRAMS, FEWEST_MONTHS = 1000.0, 36
WARM_UP = 16
"""Cutoffs, one at the end of each quarter, whose errors calibrate the first that is scored."""
RECENT, TYPICAL_CHANGE, CHANGES = 60, 0.3, 6
"""A series' volatility is that of so many months, and begins as six monthly changes of 30 per cent."""


def eligible(monthly: pd.DataFrame, cutoff: pd.Period) -> list[str]:
    """The series that are forecast at the end of the month `cutoff`, sorted, by what was known then.

    Those with at least 36 months of 1,000 kg, one of them in the last twelve; what is no country, and Brazil, never.
    """
    traded = monthly[(monthly["quantity_kg"] >= KILOGRAMS) & ~monthly["country"].isin(NEVER_FORECAST)]
    months = _months(traded)
    by = months[months <= cutoff].groupby(traded["series"]).agg(["size", "max"])
    return sorted(by.index[(by["size"] >= FEWEST_MONTHS) & (by["max"] > cutoff - MONTHS)])


def panel(monthly: pd.DataFrame, series: list[str], cutoff: pd.Period) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What is known of `series` at the end of `cutoff`: a panel of log prices, and one of `quantity_kg`.

    Indexed by series and month, each from its first price to the cutoff, months without trade as NaN.
    """
    of_series = monthly[monthly["series"].isin(series)]
    there = of_series.assign(period=_months(of_series))
    there = there[there["period"] <= cutoff]
    wide = there.pivot(index="period", columns="series", values=["price_usd_kg", "quantity_kg"])
    wide = wide.reindex(pd.period_range(there["period"].min(), cutoff, freq="M", name="period"))
    long = wide.stack("series", future_stack=True).swaplevel().sort_index()
    long = long[long["price_usd_kg"].groupby(level=0).ffill().notna()]
    return pd.DataFrame({"log_price": np.log(long["price_usd_kg"])}), pd.DataFrame(long[["quantity_kg"]])


def _months(monthly: pd.DataFrame) -> pd.Series:
    periods = pd.PeriodIndex.from_fields(year=monthly["year"], month=monthly["month"], freq="M")  # type: ignore[attr-defined]
    return pd.Series(periods, index=monthly.index)


def _made(
    name: str, monthly: pd.DataFrame, cutoff: pd.Period, horizons: list[int], found: dict[str, float]
) -> tuple[pd.DataFrame, dict[str, float]]:
    """The model's own quantiles at a cutoff, with what their calibration reads, and its parameters (if pooled)."""
    log_prices, beside = panel(monthly, eligible(monthly, cutoff), cutoff)
    forecaster = SEASONAL[name]()
    if name in POOLED:
        fitted = forecaster.set_params(**found).fit(log_prices, X=beside)
        found = {key: getattr(fitted, f"{key}_") for key in fitted.get_params()}
    else:
        fitted = forecaster.fit(log_prices.groupby(level=0).ffill())
    made = fitted.predict_quantiles(fh=horizons, alpha=list(QUANTILES.values())).set_axis(list(QUANTILES), axis=1)
    made = made.reset_index(names=["series", "period"])
    made["horizon"] = np.tile(horizons, len(made) // len(horizons))
    return made.assign(cutoff=cutoff).merge(_features(log_prices, beside), on="series"), found


def _features(log_prices: pd.DataFrame, beside: pd.DataFrame) -> pd.DataFrame:
    """`series, last, log_volatility, log_tonnes`: of the newest price, of five years, of the last twelve months."""
    wide, tonnes = log_prices["log_price"].unstack(level=0), beside["quantity_kg"].unstack(level=0) / 1000
    change = wide.diff().abs().tail(RECENT)
    volatility = (change.sum() + CHANGES * TYPICAL_CHANGE) / (change.count() + CHANGES)
    features = {
        "last": wide.ffill().iloc[-1],
        "log_volatility": np.log(volatility),
        "log_tonnes": np.log(tonnes.tail(MONTHS).mean()),
    }
    return pd.DataFrame(features).rename_axis("series").reset_index()


def _rolled(name: str, monthly: pd.DataFrame, cutoffs: list[pd.Period], horizons: list[int]) -> pd.DataFrame:
    """The model's own forecasts at each cutoff, for the months that have a price: `log_actual` is beside them.

    A pooled model finds its parameters at the first cutoff and each December, and keeps them in between.
    """
    frames: list[pd.DataFrame] = []
    found: dict[str, float] = {}
    for cutoff in cutoffs:
        if cutoff.month == MONTHS:
            found = {}
        made, found = _made(name, monthly, cutoff, horizons, found)
        frames.append(made)
    came = monthly[["series", "price_usd_kg"]].assign(period=_months(monthly))
    rolled = pd.concat(frames, ignore_index=True).merge(came, on=["series", "period"])
    return rolled.assign(log_actual=np.log(rolled["price_usd_kg"])).drop(columns="price_usd_kg")


def _cutoffs(monthly: pd.DataFrame) -> tuple[list[pd.Period], pd.Period]:
    """The ends of quarters at which a series is forecast, all before the newest month, and that month."""
    months = _months(monthly)
    first, newest = months.min(), months.max()
    quarters = [month for month in pd.period_range(first, newest, freq="M") if month.month % 3 == 0]
    return [one for one in quarters if one < newest and eligible(monthly, one)], newest


def backtest(
    monthly: pd.DataFrame, horizons: Iterable[int] = HORIZONS, models: Iterable[str] = tuple(SEASONAL)
) -> pd.DataFrame:
    """Forecasts of each model (of `SEASONAL`) at the end of each quarter, for each eligible series, and what came.

    `series, cutoff, horizon, month, model, actual, forecast, q025, q10, q50, q90, q975`, months as `2022-12`, prices
    in US$/kg; a row where that month has a price. The first `WARM_UP` cutoffs are not shown: their errors calibrate
    the intervals of the pooled models, as every later one whose month had come does. Nothing after a cutoff enters a
    forecast made at it. Raises VindimaError for horizons outside 1 to 12, and where there are too few months.
    """
    steps = _checked(horizons)
    cutoffs, newest = _cutoffs(monthly)
    scored = cutoffs[WARM_UP:]
    if not scored:
        raise VindimaError(
            f"forecast-months: expected more than {WARM_UP} ends of quarters at which a series has {FEWEST_MONTHS} "
            f"months of {KILOGRAMS:,.0f} kg, one of them in the last twelve, got {len(cutoffs)} before {newest}"
        )
    frames = []
    for name in models:
        rolled = _rolled(name, monthly, cutoffs if name in POOLED else scored, steps)
        for cutoff in scored:
            now = rolled[rolled["cutoff"] == cutoff]
            if name in POOLED:
                now = intervals.corrected(
                    now, intervals.calibrate(rolled[rolled["period"] <= cutoff], intervals.PLAIN)
                )
            frames.append(now.assign(model=name))
    made = pd.concat(frames, ignore_index=True)
    return _table(made.assign(actual=np.exp(made["log_actual"])))


def ahead(monthly: pd.DataFrame) -> pd.DataFrame:
    """Forecasts of our model for the twelve months after the newest one: as `backtest`, without `actual`.

    Raises VindimaError where no series is eligible.
    """
    cutoffs, newest = _cutoffs(monthly)
    if not eligible(monthly, newest):
        raise VindimaError(
            f"forecast-months: expected a series with {FEWEST_MONTHS} months of {KILOGRAMS:,.0f} kg, one of them in "
            f"the last twelve, got none in {newest}"
        )
    made, _ = _made(OURS, monthly, newest, list(range(1, MONTHS + 1)), {})
    learned = (
        intervals.calibrate(_rolled(OURS, monthly, cutoffs, list(HORIZONS)), intervals.PLAIN) if cutoffs else None
    )
    return _table(intervals.corrected(made, learned).assign(model=OURS))


def _checked(horizons: Iterable[int]) -> list[int]:
    steps = sorted(set(horizons))
    if not steps or not all(step in range(1, MONTHS + 1) for step in steps):
        raise VindimaError(f"forecast-months: expected horizons from 1 to {MONTHS} months, got {steps}")
    return steps


def _table(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of logs as the tables of `backtest` and `ahead`, in US$/kg."""
    prices = {name: six_digits(np.exp(rows[name].to_numpy(dtype=float))) for name in QUANTILES}
    table = rows.assign(**prices, forecast=prices["q50"], month=rows["period"].astype(str))
    table["cutoff"] = table["cutoff"].astype(str)
    order = ["series", "cutoff", "horizon", "month", "model", "actual", "forecast", *QUANTILES]
    table = table[[name for name in order if name in table]].astype({"horizon": "int16"})
    return table.sort_values(["series", "cutoff", "horizon", "model"], ignore_index=True)


def scores(tested: pd.DataFrame) -> pd.DataFrame:
    """How the forecasts of a backtest did: a row for each group (`all`, `totals`), horizon (0: all) and model.

    `n_series, n_forecasts`; `mae`, the mean absolute error of the log price, and `mae_rel_naive`,
    `mae_rel_seasonal_naive`, `mae_rel_auto_ets`, beside that of these; `coverage_80, coverage_95`, and the median
    `width_80` of the log price.
    """
    rows = tested.assign(
        mae=np.abs(np.log(tested["actual"] / tested["forecast"])),
        width_80=np.log(tested["q90"] / tested["q10"]),
        **{f"coverage_{level}": tested["actual"].between(tested[low], tested[high]).astype(float)
           for level, (low, high) in SIDES.items()},
    )  # fmt: skip
    rows = pd.concat([rows, rows.assign(horizon=0)])
    made = []
    for group, chosen in (("all", rows), ("totals", rows[rows["series"].str.count(r"\.") == 1])):
        table = chosen.groupby(["horizon", "model"]).agg(
            n_series=("series", "nunique"), n_forecasts=("series", "size"), mae=("mae", "mean"),
            coverage_80=("coverage_80", "mean"), coverage_95=("coverage_95", "mean"), width_80=("width_80", "median"),
        ).reset_index()  # fmt: skip
        for other in ("naive", "seasonal_naive", "auto_ets"):
            theirs = table[table["model"] == other].set_index("horizon")["mae"]
            table[f"mae_rel_{other}"] = table["mae"] / table["horizon"].map(theirs)
        made.append(table.assign(group=group))
    relative = ["mae_rel_naive", "mae_rel_seasonal_naive", "mae_rel_auto_ets"]
    order = ["group", "horizon", "model", "n_series", "n_forecasts", "mae", *relative]
    table = pd.concat(made)[[*order, "coverage_80", "coverage_95", "width_80"]]
    return table.sort_values(["group", "horizon", "mae"], ignore_index=True)


def run(path: Path) -> str:
    """Forecast the twelve months after the table stored at `path`, write beside it, and return a summary in words.

    `monthly_forecasts.parquet` is what `ahead` gives, `monthly_backtest.parquet` and `monthly_scores.csv` what
    `backtest` and `scores` do. Raises what they do, and VindimaError where there is no table.
    """
    if not path.is_file():
        raise VindimaError(f"there is no {path}: `vindima microdata` makes it of trade micro-data")
    monthly = schemas.validate(pd.read_parquet(path), schemas.MONTHLY)
    tested, coming = backtest(monthly), ahead(monthly)
    scored = scores(tested)
    files.write_all(
        {
            path.with_name("monthly_forecasts.parquet"): coming.to_parquet(index=False),
            path.with_name("monthly_backtest.parquet"): tested.to_parquet(index=False),
            path.with_name("monthly_scores.csv"): scored.to_csv(index=False, lineterminator="\n"),
        }
    )
    shown = coming[coming["horizon"].isin([1, 3, 6, 12])]
    medians = shown.pivot(index="series", columns="month", values="forecast").round(2)
    last = coming[coming["horizon"] == MONTHS].set_index("series")
    medians["80 in 100"] = last["q10"].map("{:.2f}".format) + " – " + last["q90"].map("{:.2f}".format)
    first, newest = tested["cutoff"].min(), tested["cutoff"].max()
    over_all = scored[scored["horizon"] == 0].drop(columns="horizon").round(3)
    return "\n".join(
        [
            f"US$ FOB a kilogram; the range is of the twelfth month after {coming['cutoff'].iloc[0]}",
            medians.rename_axis(index=None, columns=None).to_string(),
            f"\nOut of sample, at the ends of quarters {first} to {newest}, 1, 3, 6 and 12 months ahead together: "
            "mean absolute error of the log price, and what the ranges held",
            over_all.to_string(index=False),
        ]
    )
