"""Runs the pipeline, and one stage of it: a notebook executed by Papermill with strict parameters."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from vindima import params, paths
from vindima.errors import VindimaError
from vindima.labels import number, series_name
from vindima.series import is_total

KERNEL = "python3"
QUIET = ["--IPKernelApp.log_level=ERROR"]
"""A kernel on loopback warns at every start that its traffic is not encrypted."""


def stage_notebook(stage: str, folder: Path) -> Path:
    """'tidy' → notebooks/20-tidy.ipynb; VindimaError that lists the stages for a name that is none."""
    notebooks = {path.stem.partition("-")[2]: path for path in sorted(folder.glob("[0-9][0-9]-*.ipynb"))}
    if stage not in notebooks:
        raise VindimaError(f"no stage is called {stage!r}; the stages are {', '.join(notebooks)}")
    return notebooks[stage]


def stage_parameters(stage: str, root: Path, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The stage's `params` of `dvc.yaml` with the values of `params.yaml`; `data.last_year` becomes `last_year`.

    `overrides` take the place of those that they name; others of them stay as they are. Raises VindimaError where
    params.yaml, with them in it, is not what the pipeline can work with (`params.read`).
    """
    stages = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    dotted = {name.partition(".")[2]: name for name in stages[stage].get("params", [])}
    given = dict(overrides or {})
    checked = params.read(root, {dotted[name]: value for name, value in given.items() if name in dotted})
    return {name: checked[place] for name, place in dotted.items()} | given


def check_parameters(given: Mapping[str, Any], notebook: Path) -> None:
    """Refuse parameters that the notebook's `parameters` cell does not name, and names that were not given."""
    import papermill

    taken = set(papermill.inspect_notebook(str(notebook)))
    if unknown := sorted(set(given) - taken):
        raise VindimaError(f"{notebook.name} takes no parameter {', '.join(unknown)}; it takes {_listed(taken)}")
    if missing := sorted(taken - set(given)):
        raise VindimaError(f"{notebook.name} was not given {', '.join(missing)}; it takes {_listed(taken)}")


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def run_stage(stage: str, overrides: Mapping[str, Any] | None = None, root: Path = paths.ROOT) -> Path:
    """Execute a stage's notebook in the project's folder; return the executed copy in `reports/runs`.

    The copy is a log: no stage reads it. Warnings and progress are shown as they come. Raises VindimaError with the
    notebook's own sentence where it ended in a VindimaError, else with the error and the place of the log.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    notebook = stage_notebook(stage, root / "notebooks")
    given = stage_parameters(stage, root, overrides)
    check_parameters(given, notebook)
    log = root / "reports" / "runs" / notebook.name
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(
            str(notebook),
            str(log),
            parameters=given,
            kernel_name=KERNEL,
            cwd=str(root),
            stderr_file=sys.stderr,
            extra_arguments=QUIET,
        )
    except PapermillExecutionError as error:
        if error.ename == VindimaError.__name__:
            raise VindimaError(f"stage {stage}: {error.evalue}") from None
        raise VindimaError(
            f"stage {stage} stopped at cell {error.cell_index} with {error.ename}: {error.evalue} "
            f"(the whole notebook: {log.relative_to(root)})"
        ) from None
    return log


def run_pipeline(until: str | None = None) -> None:
    """`dvc repro` (up to and with stage `until`), then switch the set that the service and the reports read.

    The first forecasts of a vintage are also kept in `data/published`, and what reads them runs again. Parameters
    that a stage could not work with are refused before anything is touched.
    """
    from vindima.serving import store

    params.read(paths.ROOT)
    # Git keeps no empty folder, and DVC wants what a stage depends on.
    paths.PUBLISHED.mkdir(parents=True, exist_ok=True)
    _repro([until] if until else [])
    if until is None:
        if _keep_forecasts():
            _repro([])
        store.switch()


def _repro(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "dvc", "repro", *arguments]
    if subprocess.run(command, cwd=paths.ROOT, check=False).returncode:
        raise VindimaError("the pipeline stopped; the last set goes on being served")


def _keep_forecasts() -> bool:
    """Whether the forecasts were the first of their vintage, and so were written to `data/published`.

    Those of an earlier `data.last_year` never are: they are an experiment, and would take the vintage's place.
    """
    from vindima.etl import schemas
    from vindima.forecasting import track_record

    if stage_parameters("tidy", paths.ROOT)["last_year"] is not None:
        return False
    vintage = json.loads((paths.RAW / "manifest.json").read_text(encoding="utf-8"))["vintage"]
    return track_record.write(schemas.read(paths.FORECASTS / "forecasts.parquet"), vintage, paths.PUBLISHED)


def summary() -> str:
    """The forecasts of the totals for the first year ahead, as a table to print."""
    from vindima.serving import store

    served = store.load()
    totals = served.forecasts[is_total(served.forecasts["series"])]
    ahead = totals[totals["horizon"] == 1].set_index("series").sort_index(ascending=False)
    last = served.prices[served.prices["year"] == served.provenance["cutoff"]].set_index("series")["price_usd_kg"]
    year = served.provenance["cutoff"]
    lines = [f"{'US$ FOB a kilogram':44}{year:>6}{year + 1:>8}   80 in 100"]
    for series, row in ahead.to_dict("index").items():
        now = number(last[series], 2, "en") if series in last else "–"
        low, middle, high = (number(row[name], 2, "en") for name in ("q10", "forecast", "q90"))
        lines.append(f"{series_name(str(series), 'en'):44}{now:>6}{middle:>8}   {low} – {high}")
    return "\n".join(lines)
