"""What is deployed to watch the service: Debian's Prometheus reads it, asks the real service, knows each metric."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml

from tests.conftest import ROOT
from tests.servers import VINDIMA, environment_of, free_port, running
from tests.states import write_state
from vindima.etl import schemas
from vindima.serving import store

pytestmark = pytest.mark.services

MONITORING = ROOT / "deploy" / "monitoring"
RULES = [
    rule for group in yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"] for rule in group["rules"]
]
PANELS = json.loads((MONITORING / "grafana.json").read_text(encoding="utf-8"))["panels"]
QUERIES = {f"{panel['title']} {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]}
QUERIES |= {rule["alert"]: rule["expr"] for rule in RULES}


def program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (Debian's package prometheus has it)")
    return path


def promtool(*arguments: str) -> None:
    ended = subprocess.run(
        [program("promtool"), *arguments], cwd=MONITORING, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_configuration_is_one():
    promtool("check", "config", "prometheus.yml")


def test_rules_are_rules():
    promtool("check", "rules", "rules.yml")


def test_alerts_fire_where_they_should_and_not_where_they_should_not():
    promtool("test", "rules", "rules_test.yml")


def test_each_alert_is_tested_to_fire_and_not_to_fire():
    tests = yaml.safe_load((MONITORING / "rules_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    for rule in RULES:
        fires = {bool(case["exp_alerts"]) for case in cases if case["alertname"] == rule["alert"]}
        assert fires == {True, False}, rule["alert"]


def test_dashboard_is_one_of_grafana():
    """Panels within its 24 columns that cover no other, each with a title, a source and a query."""
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        place = panel["gridPos"]
        cells = {(place["x"] + right, place["y"] + down) for right in range(place["w"]) for down in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert all(column < 24 for column, _ in cells)
        taken |= cells
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["targets"]
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


@pytest.fixture(scope="module")
def prometheus(
    outputs_made_once: Path, users_made_once: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a Prometheus that, as the example says, asks a service with runs and forecasts that came due."""
    server = program("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    root = Path(shutil.copytree(outputs_made_once, folder / "project"))
    forecasts = schemas.read(root / "data" / "forecasts" / "forecasts.parquet")
    earlier = forecasts.assign(cutoff=2021, year=forecasts["year"] - 2).astype({"cutoff": "int16", "year": "int16"})
    prices = root / "data" / "prices" / "prices.parquet"
    came = schemas.read(prices)
    came.loc[came["year"] == 2023, "price_usd_kg"] = 2.0  # as the example's trade has it
    came.to_parquet(prices, index=False)
    schemas.write(earlier, schemas.FORECASTS, root / "data" / "published" / "abcdef012345.parquet")
    served = store.switch(root, folder / "served")
    write_state(root, outcome="failed", refresh=True, message="the source is down")
    users = Path(shutil.copy(users_made_once, folder / "users.sqlite"))
    environment = environment_of(served, users) | {"VINDIMA_ROOT": str(root)}
    configuration = folder / "monitoring"
    shutil.copytree(MONITORING, configuration)
    (configuration / "vindima.password").write_text("uva isabel de 1875")
    example = (MONITORING / "prometheus.yml").read_text()
    for old, new in {
        "username: prometheus": "username: ana",
        "localhost:8000": f"127.0.0.1:{environment['PORT']}",
        "_interval: 30s": "_interval: 1s",
    }.items():
        assert old in example
        example = example.replace(old, new)
    (configuration / "prometheus.yml").write_text(example)
    port = free_port()
    command = [
        server, "--config.file=prometheus.yml", f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
    ]  # fmt: skip
    with (
        running([*VINDIMA, "serve"], environment, folder / "service.log"),
        (folder / "prometheus.log").open("wb") as log,
        subprocess.Popen(command, cwd=configuration, stdout=log, stderr=log) as process,
    ):
        try:
            address = f"http://127.0.0.1:{port}/api/v1"
            wait_for_samples(address, process, folder / "prometheus.log")
            yield address
        finally:
            process.terminate()


def wait_for_samples(address: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if ask(address, 'up{job="vindima"} == 1') and ask(address, "rate(vindima_requests_total[5m])"):
                return
        except requests.ConnectionError:
            pass
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.3)


def ask(address: str, query: str) -> list[dict]:
    """What Prometheus answers to a query; it must be one."""
    reply = requests.get(f"{address}/query", {"query": query}, timeout=10).json()
    assert reply["status"] == "success", reply
    return reply["data"]["result"]


@pytest.mark.parametrize("name", QUERIES)
def test_query_is_one_and_of_metrics_that_there_are(prometheus: str, name: str):
    names = requests.get(f"{prometheus}/label/__name__/values", timeout=10).json()["data"]
    asked = set(re.findall(r"\bvindima_\w+|\bup\b", QUERIES[name]))
    assert asked
    assert asked <= set(names)
    ask(prometheus, QUERIES[name])


@pytest.mark.parametrize(
    "panel", [panel for panel in PANELS if panel["title"] not in ("Errors", "Last other run that worked")],
    ids=lambda panel: panel["title"],
)  # fmt: skip
def test_panel_shows_something(prometheus: str, panel: dict):
    assert all(ask(prometheus, target["expr"]) for target in panel["targets"])


def test_what_is_wrong_here_is_what_prometheus_tells(prometheus: str):
    """The data are of 2023, the last run failed and no refresh has ever worked; nothing else is wrong."""
    of_here = {rule["alert"]: rule["expr"] for rule in RULES if "disk" not in rule["expr"]}
    wrong = {alert for alert, query in of_here.items() if ask(prometheus, query)}
    assert wrong == {"VindimaDataOld", "VindimaRunFailed", "VindimaNoRefresh"}


def test_workers_do_not_add_up_what_is_one(prometheus: str):
    assert [float(one["value"][1]) for one in ask(prometheus, "vindima_data_newest_year")] == [2023]
    assert [float(one["value"][1]) for one in ask(prometheus, "sum(vindima_run_last_outcome)")] == [1]
    assert [float(one["value"][1]) for one in ask(prometheus, "vindima_set_info")] == [1]
