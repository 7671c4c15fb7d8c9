"""The DAG in a real Airflow, in an environment of its own: news go through every stage, no news end at once."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.clouds import environment
from tests.conftest import ROOT
from tests.test_unattended import AFTER, root, up_to  # noqa: F401
from vindima import runs
from vindima.ingestion import figures, mirror

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.skipif(shutil.which("uv") is None, reason="uv, of the lock, is not on the PATH"),
]
DAG = ROOT / "deploy" / "airflow_dag.py"


class Airflow:
    """Airflow with the DAG of a project."""

    def __init__(self, environment: Path, home: Path, project: Path, source: str) -> None:
        (home / "dags").mkdir(parents=True)
        (home / "dags" / DAG.name).symlink_to(DAG)
        self._program = environment / "bin" / "airflow"
        (project / ".venv" / "bin").mkdir(parents=True)
        for name in ("vindima", "python"):
            (project / ".venv" / "bin" / name).symlink_to(Path(sys.executable).with_name(name))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("VINDIMA_", "PYTHON"))}
        self._environment = kept | {
            "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "VINDIMA_ROOT": str(project),
            "VINDIMA_SOURCE": source, "PYTHONPATH": str(ROOT / "src"),
        }  # fmt: skip
        self("db", "migrate")
        self("dags", "reserialize")

    def __call__(self, *arguments: str) -> str:
        ended = subprocess.run(
            [self._program, *arguments], env=self._environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-3000:]
        return ended.stdout

    def run(self, day: str) -> dict[str, str]:
        """How each task of a run ended, by its name."""
        self("dags", "test", "vindima", day)
        [made] = [one for one in self.listed("dags", "list-runs", "vindima") if one["logical_date"].startswith(day)]
        tasks = self.listed("tasks", "states-for-dag-run", "vindima", made["run_id"])
        return {one["task_id"]: one["state"] for one in tasks}

    def listed(self, *arguments: str) -> list[dict]:
        """What a command lists, which stands behind what it logs."""
        said = self(*arguments, "-o", "json")
        return json.loads(said[said.index("[{") :])


def test_news_go_through_every_stage_and_no_news_end_at_once(tmp_path: Path, request: pytest.FixtureRequest):
    project: Path = request.getfixturevalue("root")
    figures.save(up_to(AFTER), [], tmp_path / "figures")
    stages = yaml.safe_load((project / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    after = [f"pipeline.{stage}" for stage in stages if stage not in ("check", "collect")]
    with mirror.running(tmp_path / "figures") as source:
        airflow = Airflow(environment("airflow"), tmp_path / "airflow", project, source)
        news = airflow.run("2026-03-02")
        assert news == {
            "collect": "success", "fresh": "success", "nothing_new": "skipped", "pipeline.switch": "success",
            **dict.fromkeys(after, "success"),
        }  # fmt: skip
        served = json.loads((project / "data" / "served" / "data" / "raw" / "manifest.json").read_text())
        collected = json.loads((project / "data" / "raw" / "manifest.json").read_text())
        assert served["vintage"] == collected["vintage"]
        again = airflow.run("2026-03-09")
    assert again == {
        "collect": "success", "fresh": "success", "nothing_new": "success",
        **dict.fromkeys([*after, "pipeline.switch"], "skipped"),
    }  # fmt: skip
    outcomes = [one["outcome"] for one in runs.states(project / "reports" / "runs")]
    assert outcomes[0] == "nothing_new"
    assert outcomes.count("new_data") == 1
