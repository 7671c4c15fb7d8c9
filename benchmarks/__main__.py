"""`make bench`: every benchmark in one run, as a table on screen and in reports/bench.md."""

import platform

import pandas as pd

from benchmarks import fits, growth, ingestion, microdata, pipeline, reports, service
from vindima.paths import REPORTS


def main() -> None:
    """Measure, print and store the tables."""
    parts = [f"# Speed and memory\n\n{platform.python_implementation()} {platform.python_version()}\n"]
    for title, module in (
        ("Ingestion", ingestion),
        ("Pipeline", pipeline),
        ("Micro-data", microdata),
        ("Forecasts of many series", fits),
        ("Growth of the joint model", growth),
        ("Service", service),
        ("Reports", reports),
    ):
        table = pd.DataFrame(module.rows()).astype(object)
        table = table.where(table.notna(), "")
        lines = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
        parts.append(f"## {title}\n\n" + "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n")
        print(parts[-1], flush=True)
    REPORTS.mkdir(exist_ok=True)
    (REPORTS / "bench.md").write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
