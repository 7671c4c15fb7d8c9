"""What forecasting thousands of series by a ready-made method costs here and on Spark, on the same cores.

Each call is made in a process of its own, as a user makes it: with the start of its processes, and of Spark. What a
cluster of more cores would take is projected from two sizes: a start that stays, and a time for each series that
cores divide.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.microdata import SETTINGS
from vindima.forecasting import parallel

SIZES = {"auto_ets": (1_000, 10_000), "auto_theta": (1_000, 10_000), "auto_arima": (100, 1_000)}
TIMES = 8
"""How many times the cores of this machine the projected cluster has."""


def rows() -> list[dict]:
    """A row for each method and number of series: seconds here and on Spark, and a row for each projection."""
    if find_spec("pyspark") is None or shutil.which("java") is None:
        return [{"what": "many series: PySpark or Java is not installed"}]
    found: list[dict] = []
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "spark-defaults.conf").write_text(SETTINGS)
        for method, sizes in SIZES.items():
            took = {
                (engine, size): _seconds(engine, method, size, place) for size in sizes for engine in parallel.ENGINES
            }
            for size in sizes:
                here, there = (round(took[engine, size], 1) for engine in parallel.ENGINES)
                found.append({"what": f"{method}, {size:,} series", "here, s": here, "Spark, s": there})
            found.append(
                {"what": f"{method}: a cluster of {TIMES} times the cores wins from", "projected": _even(took, sizes)}
            )
    return found


def _even(took: dict[tuple[str, int], float], sizes: tuple[int, int]) -> str:
    """The number of series from which a cluster of TIMES the cores takes less time, by the times of two sizes."""
    few, many = sizes
    each = {engine: (took[engine, many] - took[engine, few]) / (many - few) for engine in parallel.ENGINES}
    start = {engine: took[engine, few] - each[engine] * few for engine in parallel.ENGINES}
    gained = each["local"] - each["spark"] / TIMES
    return f"{max((start['spark'] - start['local']) / gained, 0):,.0f} series" if gained > 0 else "never"


def _seconds(engine: str, method: str, size: int, settings: str) -> float:
    program = f"from benchmarks import fits; fits.report({engine!r}, {method!r}, {size})"
    here = os.environ | {"SPARK_CONF_DIR": settings, "VINDIMA_SPARK": "local[*]", "OMP_NUM_THREADS": "1"}
    made = subprocess.run([sys.executable, "-c", program], env=here, capture_output=True, text=True, check=True)
    return json.loads(made.stdout.splitlines()[-1])


def report(engine: str, method: str, size: int) -> None:
    """Print the seconds that forecasts of generated series took."""
    random = np.random.default_rng(24)
    logs = 1 + np.cumsum(random.normal(0, 0.2, (size, 30)), axis=1)
    table = pd.DataFrame({"series": np.repeat([f"s{number:05}" for number in range(size)], 30)})
    table = table.assign(year=np.tile(range(1995, 2025), size), quantity_kg=1.0, price_usd_kg=np.exp(logs).ravel())
    start = time.perf_counter()
    made = parallel.forecasts(method, table, 2024, [1, 2, 3], engine)
    seconds = time.perf_counter() - start
    if len(made) != 3 * size:
        raise RuntimeError(f"expected {3 * size} forecasts, got {len(made)}")
    print(json.dumps(seconds))


def main() -> None:
    """Print the rows as a table."""
    print(pd.DataFrame(rows()).to_string(index=False))


if __name__ == "__main__":
    main()
