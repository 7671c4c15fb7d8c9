"""How the joint model grows: 100, 1,000 and 10,000 series of 54 years, beside AutoETS over the same series.

The series are copies of the real ones of countries, with noise of their own. Each copy has countries of its own, so
that their number grows with the series; markets stay the nine. Measured of a pass (likelihood and score), and of a
fit with forecasts, at 10,000 series with the parameters of a sample of them. Each is a process of its own: the joint
model on one core, AutoETS on all. The bars: a pass over ten times the series takes at most 1.2 times ten times as
long from 1,000 on, and 10,000 series need at most 2.5 GB.
"""

import json
import resource
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import psutil
from threadpoolctl import threadpool_limits

from vindima import paths
from vindima.etl import prices as unit_values
from vindima.forecasting import joint, models, parallel
from vindima.forecasting.eligibility import eligible
from vindima.forecasting.level import known

SIZES = (100, 1_000, 10_000)
YEARS, HORIZONS = 54, [1, 2, 3]
SAMPLE = 300
"""As many series give the parameters of more than 1,000."""
GROWTH, MEMORY = 1.2, 2.5
NEEDED = 0.6, 2.0
"""GB that must be free, and GB for each 10,000 series beside."""
TASKS = {"pass": "likelihood and score", "fit": "fit and forecasts", "auto_ets": "AutoETS, all cores"}


def rows() -> list[dict]:
    """A row for each number of series and task, with seconds and peak memory, and one for the growth of a pass."""
    if not (paths.PRICES / "prices.parquet").is_file():
        return [{"what": "growth of the joint model: the pipeline has not run here"}]
    found: list[dict] = []
    seconds = {}
    for size in SIZES:
        needed, free = NEEDED[0] + NEEDED[1] * size / 10_000, psutil.virtual_memory().available / 1e9
        if free < needed:
            found.append({"what": f"{size:,} series: left out, {needed:.1f} GB are needed and {free:.1f} are free"})
            continue
        for task, what in TASKS.items():
            seconds[task, size], peak = _measured(task, size)
            sampled = f", parameters of {SAMPLE} series" if task == "fit" and size > 1_000 else ""
            row = {"what": f"{size:,} series: {what}{sampled}", "seconds": round(seconds[task, size], 2)}
            if task != "auto_ets":
                row |= {"peak GB": round(peak, 2), "bar": f"≤ {MEMORY:g} GB", "met": peak <= MEMORY}
            found.append(row)
    few, many = SIZES[1:]
    if ("pass", many) in seconds:
        growth = seconds["pass", many] / seconds["pass", few] / (many / few)
        found.append(
            {"what": f"a pass from {few:,} to {many:,} series: times as long ÷ times as many"}
            | {"figure": round(growth, 2), "bar": f"≤ {GROWTH:g}", "met": growth <= GROWTH}
        )
    return found


def _measured(task: str, size: int) -> tuple[float, float]:
    """Seconds, and peak memory in GB, of a task in a process of its own."""
    program = f"from benchmarks import growth; growth.report({task!r}, {size})"
    made = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    seconds, peak = json.loads(made.stdout.splitlines()[-1])
    return seconds, peak


def report(task: str, size: int) -> None:
    """Print as JSON the seconds of a task, and the peak memory of this process in GB."""
    prices = _copies(size)
    cutoff, series = int(prices["year"].max()), prices["series"].unique().tolist()
    start = time.perf_counter()
    if task == "auto_ets":
        made = parallel.forecasts(task, prices, cutoff, HORIZONS)
    elif task == "fit":
        given = {}
        if size > 1_000:
            sample = np.random.default_rng(2).choice(series, SAMPLE, replace=False).tolist()
            given = models.estimated(
                "joint", models.fit_panel("joint", models.model("joint"), prices, sample, cutoff)
            )
        fitted = models.fit_panel("joint", joint.JointLevels(**given), prices, series, cutoff)
        made = models.log_quantiles(fitted, HORIZONS)
    else:
        table, log_tonnes = known(*models.panel(prices, series, cutoff))
        space = joint._Space.of(table.columns, table.to_numpy(), log_tonnes)
        values = {name: value for name, (value, _) in joint.SEARCH.items()}
        weights = np.ones(space.seen.shape)
        start = time.perf_counter()
        with threadpool_limits(1):
            joint._gradient(space, values, weights, joint._solve(space, values, weights))
    seconds = time.perf_counter() - start
    if task != "pass" and len(made) != len(HORIZONS) * size:
        raise RuntimeError(f"expected {len(HORIZONS) * size} forecasts, got {len(made)}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps([seconds, peak / 1e9]))


def _copies(size: int) -> pd.DataFrame:
    """Prices of as many series: the real ones of countries again and again, each time of other countries."""
    prices = unit_values.for_forecasts(paths.TIDY, paths.PRICES)
    cutoff = int(prices["year"].max())
    of_countries = [series for series in eligible(prices, cutoff) if series.count(".") == 2]
    real = prices[prices["series"].isin(of_countries) & (prices["year"] > cutoff - YEARS)]
    times = -(-size // len(of_countries))
    made = pd.concat([real.assign(series=real["series"] + f"_{copy}") for copy in range(times)], ignore_index=True)
    made = made[made["series"].isin(made["series"].unique()[:size])]
    noise = np.exp(np.random.default_rng(1).normal(0, 0.2, len(made)))
    return made.assign(**{name: made[name] * noise for name in ("price_usd_kg", "price_usd_kg_real")})


def main() -> None:
    """Print the rows as a table."""
    print(pd.DataFrame(rows()).to_string(index=False))


if __name__ == "__main__":
    main()
