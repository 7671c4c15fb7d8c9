"""What summing micro-data costs on DuckDB, on Spark and, to ten million lines, in pandas, side by side.

The lines are generated, of a fixed seed; each engine sums them in a process of its own on the same cores, to the same
sums. The bar: DuckDB stays within its limit and what Python itself needs. By hand, `python -m benchmarks.microdata
1 10 100` takes as many million lines; 100 million need 2 GB of disk.
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

import duckdb
import pandas as pd
import psutil

from benchmarks.pipeline import resident
from vindima.etl import microdata

MILLIONS = (1, 10)
DUCKDB_MEMORY, PYTHON = 1.0, 0.5
"""GB that DuckDB may hold, and that Python with its libraries may beside."""
NEEDED = {"duckdb": (1.5, 0.0), "spark": (3.0, 0.0), "pandas": (0.5, 0.4)}
"""Engine → GB that must be free, and GB for each million lines beside."""
PANDAS_TO = 10
DISK = 0.03
"""GB of a million lines in parquet, with room to spare."""
SETTINGS = "spark.driver.memory 1g\nspark.driver.bindAddress 127.0.0.1\nspark.driver.host 127.0.0.1\n"
GENERATED = """
CREATE MACRO drawn(line, part, below) AS (hash(line, part) % below)::BIGINT;
COPY (
  SELECT
    ['exports', 'imports'][1 + drawn(i, 1, 2)] AS flow,
    ['22042100', '22042919', '22041010', '08061000', '08062000', '20096900', '12019000', '02023000', '17011400',
     '09011110'][1 + drawn(i, 2, 10)] AS ncm,
    ['ARG', 'CHL', 'URY', 'PRY', 'USA', 'PRT', 'ESP', 'ITA', 'FRA', 'CHN', 'JPN', 'DEU'][1 + drawn(i, 3, 12)]
      AS country,
    ['RS', 'SP', 'SC', 'PR', 'BA', 'PE'][1 + drawn(i, 4, 6)] AS state,
    (710000 + drawn(i, 5, 200))::VARCHAR AS port,
    1997 + drawn(i, 6, 28) AS year,
    1 + drawn(i, 7, 12) AS month,
    1 + drawn(i, 8, 50000) AS kg,
    1 + drawn(i, 9, 150000) AS usd
  FROM range({lines}) AS lines(i)
) TO '{path}' (FORMAT parquet)
"""


def rows(millions: tuple[int, ...] = MILLIONS) -> list[dict]:
    """A row for each number of lines and engine: seconds of the summing, peak memory in GB, growth for a tenfold."""
    found: list[dict] = []
    seconds: dict[tuple[str, int], float] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "spark-defaults.conf").write_text(SETTINGS)
        for size in millions:
            if (free := shutil.disk_usage(folder).free / 1e9) < DISK * size + 1:
                found.append(
                    {"million lines": size, "note": f"left out: {DISK * size + 1:.1f} GB of disk, {free:.1f} free"}
                )
                continue
            path = folder / f"{size}.parquet"
            with duckdb.connect(config={"memory_limit": "1GB"}) as connection:
                connection.execute(GENERATED.format(lines=size * 1_000_000, path=path))
            sums = set()
            for engine, (base, each) in NEEDED.items():
                row: dict = {"million lines": size, "engine": engine}
                needed, available = base + each * size, psutil.virtual_memory().available / 1e9
                if engine == "pandas" and size > PANDAS_TO:
                    row["note"] = f"left out: it would need {needed:.0f} GB"
                elif engine == "spark" and (find_spec("pyspark") is None or shutil.which("java") is None):
                    row["note"] = "PySpark or Java is not installed"
                elif available < needed:
                    row["note"] = f"left out: {needed:.1f} GB of memory are needed, {available:.1f} are free"
                else:
                    took, peak, total = _measured(engine, path)
                    sums.add(total)
                    seconds[engine, size] = took
                    row |= {"seconds": round(took, 2), "peak GB": round(peak / 1e9, 2)}
                    if before := seconds.get((engine, size // 10)):
                        row["growth"] = round(took / before, 1)
                    if engine == "duckdb":
                        row |= {"bar": f"≤ {DUCKDB_MEMORY + PYTHON:g} GB"}
                        row |= {"met": peak / 1e9 <= DUCKDB_MEMORY + PYTHON}
                found.append(row)
            if len(sums) > 1:
                raise RuntimeError(f"{size} million lines: the engines gave different sums: {sums}")
            path.unlink()
    return found


def _measured(engine: str, path: Path) -> tuple[float, int, tuple[int, float, float]]:
    """Seconds of the summing, peak memory in bytes of all processes, and rows, kilograms and dollars it came to."""
    program = f"from benchmarks import microdata; microdata.report({engine!r}, {str(path)!r})"
    here = os.environ | {"SPARK_CONF_DIR": str(path.parent), "VINDIMA_SPARK": "local[*]"}
    process = psutil.Popen(
        [sys.executable, "-c", program], env=here, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, resident(process))
        time.sleep(0.02)
    if process.returncode:
        raise RuntimeError(f"summing by {engine} failed")
    seconds, *total = json.loads(process.stdout.read().splitlines()[-1])  # Spark says something before
    return seconds, peak, tuple(total)


def report(engine: str, path: str) -> None:
    """Print what one engine took, and what it came to, as JSON."""
    start = time.perf_counter()
    if engine == "pandas":
        summed = _by_pandas(Path(path))
    else:
        summed = microdata.monthly_sums([Path(path)], memory=f"{DUCKDB_MEMORY:g}GB", engine=engine)
    seconds = time.perf_counter() - start
    print(json.dumps([seconds, len(summed), *summed[["quantity_kg", "value_usd"]].astype(float).sum()]))


def _by_pandas(path: Path) -> pd.DataFrame:
    """The same sums as one would write them with pandas, with none of the checks."""
    lines = pd.read_parquet(path, columns=["flow", "ncm", "country", "year", "month", "kg", "usd"])
    known = microdata.PRODUCTS["ncm"].items()
    products = {
        code: product for code in lines["ncm"].unique() for prefix, product in known if code.startswith(prefix)
    }
    lines["product"] = lines["ncm"].map(products)
    return (
        lines.dropna(subset="product")
        .groupby(list(microdata.KEY), as_index=False)[["kg", "usd"]]
        .sum()
        .rename(columns={"kg": "quantity_kg", "usd": "value_usd"})
    )


def main() -> None:
    """Print the rows as a table, for as many million lines as the arguments say."""
    print(pd.DataFrame(rows(tuple(map(int, sys.argv[1:])) or MILLIONS)).to_string(index=False))


if __name__ == "__main__":
    main()
