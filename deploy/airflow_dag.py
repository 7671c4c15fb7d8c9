"""The weekly renewal as a DAG of Airflow 3: collect, and where that brought news, every stage of the pipeline.

Put this file, or a link to it, into Airflow's folder of DAGs, and set VINDIMA_ROOT to the project's folder, which the
workers share. Every task is `vindima run`: its lock keeps a second run away, which is then tried again, and DVC skips
the stages that are done. VINDIMA_SCHEDULE (cron's five fields) says when, VINDIMA_SOURCE what is collected.
"""

import json
import os
from datetime import datetime, timedelta
from pathlib import Path

import yaml
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, TaskGroup, chain, task

ROOT = Path(os.environ.get("VINDIMA_ROOT") or Path(__file__).resolve().parents[1])
STAGES = list(yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"])
AFTER_COLLECT = STAGES[STAGES.index("collect") + 1 :]


def vindima(name: str, arguments: str) -> BashOperator:
    """A task that is `vindima run` with these arguments, in the project's folder and environment."""
    environment = {"VINDIMA_ROOT": str(ROOT), "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    command = f"vindima run {arguments}".strip()
    return BashOperator(task_id=name, bash_command=command, cwd=str(ROOT), env=environment, append_env=True)


def vintage(folder: Path) -> str | None:
    """The vintage of the raw zone in a folder; None where there is none."""
    manifest = folder / "raw" / "manifest.json"
    return json.loads(manifest.read_text(encoding="utf-8"))["vintage"] if manifest.is_file() else None


with DAG(
    "vindima",
    description="Collects Vitibrasil, and renews data, forecasts and reports where there is news.",
    schedule=os.environ.get("VINDIMA_SCHEDULE") or "17 5 * * 1",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=10), "execution_timeout": timedelta(hours=3)},
):

    @task.branch
    def fresh() -> str:
        """Which way to go: nothing is left to do where what is served is of the vintage that was collected."""
        served = Path(os.environ.get("VINDIMA_SERVED") or ROOT / "data" / "served")
        same = vintage(ROOT / "data") == vintage(served / "data")
        return "nothing_new" if same else f"pipeline.{AFTER_COLLECT[0]}"

    with TaskGroup("pipeline"):
        stages = [vindima(stage, f"--until {stage}") for stage in AFTER_COLLECT]
        chain(*stages, vindima("switch", ""))

    vindima("collect", "--refresh --until collect") >> fresh() >> [EmptyOperator(task_id="nothing_new"), stages[0]]
