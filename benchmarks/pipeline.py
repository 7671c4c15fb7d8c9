"""What DVC and Papermill cost: the default pipeline from nothing beside the same notebooks' code in one process.

Both run in a copy of the project, as a fresh clone would: backtest and benchmark come from Git. The bars: at
most 5 s a stage between the two; `dvc repro` that has nothing to do at most 1.5 times `dvc status`; at most
1.5 GB of memory over all processes of the pipeline together.
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from vindima.paths import ROOT

STAGES = ("collect", "tidy", "prices", "forecast", "evaluate")
ROUNDS = 3
IDLE_ROUNDS = 5
BARS = {"overhead": 5.0, "idle": 1.5, "memory": 1.5}

ONE_PROCESS = """
import sys
import nbformat
from vindima.run import stage_notebook, stage_parameters
from vindima import paths
for stage in sys.argv[1:]:
    names = {}
    for cell in nbformat.read(stage_notebook(stage, paths.NOTEBOOKS), as_version=4).cells:
        if cell.cell_type == "code":
            exec(cell.source, names)
            if "parameters" in cell.metadata.get("tags", []):
                names |= stage_parameters(stage, paths.ROOT)
from vindima.cli import main
main(["site"], standalone_mode=False)
"""


def rows() -> list[dict]:
    """One row for each thing measured: its median, and where it has a bar the figure, the bar and the verdict."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "vindima"
        copy_working_tree(clone)
        dvc = [sys.executable, "-m", "dvc"]
        measured = [(_run([*dvc, "repro"], _emptied(clone)), _run(_one_process(), clone)) for _ in range(ROUNDS)]
        idle = [(_run([*dvc, "repro"], clone)[0], _run([*dvc, "status"], clone)[0]) for _ in range(IDLE_ROUNDS)]
    pipeline = statistics.median(seconds for (seconds, _), _ in measured)
    alone = statistics.median(seconds for _, (seconds, _) in measured)
    memory = max(size for (_, size), _ in measured)
    overhead = statistics.median((ours - theirs) / (len(STAGES) + 1) for (ours, _), (theirs, _) in measured)
    ratio = statistics.median(repro / status for repro, status in idle)
    return [
        {"what": "dvc repro from nothing", "seconds": round(pipeline, 1)},
        {"what": "the same code in one process", "seconds": round(alone, 1)},
        _judged("DVC and Papermill, seconds a stage", overhead, BARS["overhead"]),
        {"what": "dvc repro with nothing to do", "seconds": round(statistics.median(r for r, _ in idle), 2)},
        {"what": "dvc status", "seconds": round(statistics.median(s for _, s in idle), 2)},
        _judged("idle dvc repro / dvc status", ratio, BARS["idle"]),
        _judged("peak memory of all processes, GB", memory / 1e9, BARS["memory"]),
    ]


def _judged(what: str, figure: float, bar: float) -> dict:
    return {"what": what, "figure": round(figure, 2), "bar": f"≤ {bar:g}", "met": figure <= bar}


def copy_working_tree(clone: Path) -> None:
    """Write to `clone` what Git would give a newcomer of the working tree as it is, as a repository of its own."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, clone / name)
    subprocess.run(["git", "init", "--quiet"], cwd=clone, check=True)


def _emptied(clone: Path) -> Path:
    """The clone without outputs, cache and run history."""
    for name in (
        ".dvc/cache",
        ".dvc/tmp",
        "data/raw",
        "data/tidy",
        "data/prices",
        "data/forecasts",
        "models",
        "site",
    ):
        shutil.rmtree(clone / name, ignore_errors=True)
    return clone


def _one_process() -> list[str]:
    return [sys.executable, "-c", ONE_PROCESS, *STAGES]


def _run(command: list[str], folder: Path) -> tuple[float, int]:
    """Wall time in seconds, and the peak of the resident memory of the process and all its descendants in bytes."""
    start = time.perf_counter()
    process = psutil.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = 0
    while process.poll() is None:
        peak = max(peak, resident(process))
        time.sleep(0.05)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} failed:\n{process.stderr.read().decode()}")
    return seconds, peak


def resident(process: psutil.Process) -> int:
    """Resident memory of a process and all its descendants, in bytes."""
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
