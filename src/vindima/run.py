"""Runs the pipeline, and one stage of it: a notebook executed by Papermill with strict parameters."""

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import yaml

from vindima import files, params, paths, runs, storage
from vindima.errors import VindimaError
from vindima.ingestion import lake
from vindima.labels import number, series_name
from vindima.series import is_total
from vindima.serving import sets

KERNEL = "python3"
REFRESHED = paths.RAW.with_name(".raw-refreshed")
"""Where the source is collected before it takes the place of `data/raw`."""
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


def run_pipeline(
    until: str | None = None, refresh: bool = False, identity: str | None = None, minutes: float | None = None
) -> str:
    """`dvc repro` (up to and with stage `until`), then switch the set that the service and the reports read.

    With `refresh` the source is collected first (VINDIMA_SOURCE, by default the live site); where it has nothing new
    and the set that is served has all there is, the run ends with that. The answer is the outcome, done, new_data or
    nothing_new.

    The first forecasts of a vintage are also kept in `data/published`, and what reads them runs again. Parameters
    that a stage could not work with are refused before anything is touched. One run at a time: `runs.one` says what
    is raised, and what `identity` and `minutes` are. No Git repository is needed, nor Git.

    Where VINDIMA_STORAGE names a storage the project is taken from there first, and kept there at the end of a whole
    run; until then it is as it was. One run at a time there, too.
    """
    params.read(paths.ROOT)
    kept = storage.of_environment()
    with (
        kept.held(runs.allowed_minutes() if minutes is None else minutes) if kept else nullcontext(),
        runs.one(refresh, until, identity, minutes) as run,
    ):
        # Git keeps no empty folder, and DVC wants what a stage depends on.
        paths.PUBLISHED.mkdir(parents=True, exist_ok=True)
        _without_git(run)
        if kept:
            _restore(run, kept)
        if refresh:
            run.outcome = "new_data" if _refresh(run, kept) else "nothing_new"
            complete = _served() == run.state["vintage"] and (kept is None or kept.has_set())
            if until == "collect" or (run.outcome == "nothing_new" and complete):
                run.say(f"{run.outcome.replace('_', ' ')} at the source: vintage {run.state['vintage']}")
                return run.outcome
        _repro(run, [until] if until else [])
        if until is None:
            from vindima.serving import store

            if _keep_forecasts():
                _repro(run, [])
            run.note(stage="switch")
            store.switch()
            run.note(vintage=_served())
            if kept:
                _keep(run, kept)
        return run.outcome


def _restore(run: runs.Run, kept: storage.Storage) -> None:
    """Take what the storage keeps of the project: its tables, and of DVC's outputs those that are there."""
    if run.command([sys.executable, "-m", "dvc", "remote", "add", "--local", "--force", "storage", kept.remote]):
        raise VindimaError(f"DVC does not take {kept.remote} as its remote")
    if not kept.restore(paths.ROOT):
        run.say("nothing is kept in the storage yet: this run begins with what it was given")
        return
    if run.command([sys.executable, "-m", "dvc", "pull", "--force", "--allow-missing"]):
        raise VindimaError(f"the outputs could not be pulled from {kept.remote}")
    if kept.has_set():
        kept.fetch_set(paths.SERVED)


def _keep(run: runs.Run, kept: storage.Storage) -> None:
    """Keep the project and the set; the archives that name what DVC has pushed come after it."""
    run.note(stage="keep")
    if run.command([sys.executable, "-m", "dvc", "push"]):
        raise VindimaError(f"the outputs could not be pushed to {kept.remote}; what was kept before is still there")
    kept.keep(paths.ROOT)
    kept.keep_set(paths.SERVED)
    run.say("the project and its set are kept in the storage")


def _repro(run: runs.Run, arguments: list[str]) -> None:
    stages = yaml.safe_load((paths.ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    begun: list[str] = []

    def read(line: str) -> None:
        """'Running stage 'tidy':' and 'Stage 'tidy' didn't change, skipping' tell where DVC is."""
        if (found := re.match(r"(?:Running stage|Stage) '(\w+)'", line)) and found[1] in stages:
            begun.append(found[1])
            run.note(stage=found[1], progress=round(min(1.0, (len(begun) - 1) / len(stages)), 2))

    _forget_the_dead()
    if run.command([sys.executable, "-m", "dvc", "repro", *arguments], read):
        raise VindimaError("the pipeline stopped; the last set goes on being served")


def _without_git(run: runs.Run) -> None:
    """Tell DVC where the project is in no Git repository, as in an image: it would refuse to work there."""
    local = paths.ROOT / ".dvc" / "config.local"
    if any((folder / ".git").exists() for folder in (paths.ROOT, *paths.ROOT.parents)):
        return
    if not local.is_file() or "no_scm" not in local.read_text(encoding="utf-8"):
        run.command([sys.executable, "-m", "dvc", "config", "--local", "core.no_scm", "true"])


def _forget_the_dead() -> None:
    """Take the processes that are no more from DVC's list of who reads and writes what; it does not do so itself."""
    place = paths.ROOT / ".dvc" / "tmp" / "rwlock"
    try:
        held = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    writes = {path: who for path, who in held.get("write", {}).items() if runs.began_at(who["pid"])}
    reads = {path: [one for one in who if runs.began_at(one["pid"])] for path, who in held.get("read", {}).items()}
    files.write(place, json.dumps({"write": writes, "read": {path: who for path, who in reads.items() if who}}))


def _refresh(run: runs.Run, kept: storage.Storage | None) -> bool:
    """Whether the source has a vintage that is not on hand; it is then in `data/raw`, and DVC knows it.

    It is collected aside: whatever fails leaves the raw zone as it was. The source `lake:ADDRESS` is the newest
    snapshot of a lake. Each collection is also written into the lake of the storage `kept`.
    """
    source = os.environ.get("VINDIMA_SOURCE") or "live"
    run.note(stage="collect")
    if not paths.RAW.is_dir() and sets.previous(paths.RAW).is_dir():  # a run was killed while it put one in place
        sets.previous(paths.RAW).rename(paths.RAW)
    if paths.RAW.is_dir():
        shutil.rmtree(REFRESHED, ignore_errors=True)
        shutil.copytree(paths.RAW, REFRESHED)
    if source.startswith("lake:"):
        shutil.rmtree(REFRESHED, ignore_errors=True)
        run.say(f"taken from the lake: {lake.fetch(source.removeprefix('lake:'), REFRESHED)}")
    elif run.command(
        [sys.executable, "-m", "vindima", "collect", "--into", str(REFRESHED), "--source", source]
        + (["--lake", kept.lake] if kept else [])
    ):
        worked = next((one for one in runs.states() if one["refresh"] and one["outcome"] in runs.WORKED), None)
        since = f"the last one that worked ended {worked['ended_at']}" if worked else "none has worked yet"
        raise VindimaError(f"the source could not be collected ({source}); {since}")
    found, before = _vintage(REFRESHED), _vintage(paths.RAW)
    run.note(vintage=found)
    if found == before:
        shutil.rmtree(REFRESHED)
        return False
    sets.put_in_place(REFRESHED, paths.RAW)
    if run.command([sys.executable, "-m", "dvc", "commit", "--force", "--quiet", "collect"]):
        raise VindimaError("DVC did not take what was collected; the last set goes on being served")
    return True


def _vintage(raw: Path) -> str | None:
    try:
        return json.loads((raw / "manifest.json").read_text(encoding="utf-8"))["vintage"]
    except FileNotFoundError:
        return None


def _served() -> str | None:
    """The vintage of the set that is served."""
    return _vintage(paths.SERVED / "data" / "raw")


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
