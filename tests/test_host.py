"""The service as model hosts call it: SageMaker's two calls, Vertex AI's routes, and nothing else."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from flask.testing import FlaskClient

from benchmarks.attacks import wait_for
from tests.servers import VINDIMA, free_port
from vindima.errors import VindimaError
from vindima.serving import host

CHILE = "imports.table_wine.CHL"


@pytest.fixture
def client(served_set: Path) -> FlaskClient:
    return host.create_host_app({"SERVED": served_set}).test_client()


def test_host_is_answered_without_a_token(client: FlaskClient) -> None:
    assert client.get("/ping").status_code == 200
    answer = client.post("/invocations", json={"series": CHILE, "horizon": 1})
    assert [step["year"] for step in answer.get_json()["path"]] == [2024]
    many = client.post("/invocations", json={"items": [{"series": CHILE}, {"series": "imports.table_wine"}]})
    assert [item["series"] for item in many.get_json()["items"]] == [CHILE, "imports.table_wine"]


def test_instances_are_answered_with_predictions_and_parameters_hold_for_all_that_say_nothing_else(
    client: FlaskClient,
) -> None:
    body = {"instances": [{"series": CHILE}, {"series": CHILE, "horizon": 2}], "parameters": {"horizon": 1}}
    answer = client.post("/invocations", json=body).get_json()
    assert list(answer) == ["predictions"]
    assert [len(one["path"]) for one in answer["predictions"]] == [1, 2]


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"instances": []}, ["instances"]),
        ({"instances": {}}, ["instances"]),
        ({"instances": [{"series": CHILE}, {"series": CHILE, "horizon": 9}]}, ["instances[1].horizon"]),
        ({"instances": [{"series": CHILE}], "parameters": 3}, ["parameters"]),
        ({"instances": [{"series": CHILE}], "model": "x"}, ["model"]),
        ({"instances": [7]}, ["instances[0]"]),
        ({"horizon": 1}, ["series"]),
        ([], ["body"]),
    ],
)
def test_wrong_instances_are_422_and_named(client: FlaskClient, body: object, wrong: list[str]) -> None:
    response = client.post("/invocations", json=body)
    assert response.status_code == 422
    assert [error["field"] for error in response.get_json()["errors"]] == wrong


def test_instance_of_a_series_that_is_not_forecast_is_404_and_named(client: FlaskClient) -> None:
    response = client.post("/invocations", json={"instances": [{"series": CHILE}, {"series": "imports.beer"}]})
    assert response.status_code == 404
    assert [error["field"] for error in response.get_json()["errors"]] == ["instances[1].series"]


def test_nothing_else_is_served(client: FlaskClient) -> None:
    assert {str(rule) for rule in client.application.url_map.iter_rules()} == {"/ping", "/invocations"}
    for path in ("/", "/docs", "/openapi.json", "/v1/series", "/v1/token", "/metrics", "/health/live"):
        assert client.get(path).status_code == 404


def test_ping_is_503_where_there_is_nothing_to_predict_from(tmp_path: Path) -> None:
    client = host.create_host_app({"SERVED": tmp_path / "none"}).test_client()
    response = client.get("/ping")
    assert response.status_code == 503
    assert "there is no set to serve" in response.get_json()["detail"]
    assert client.post("/invocations", json={"series": CHILE}).status_code == 503


@pytest.mark.parametrize("route", ["ping", "/<name>", "/a?b"])
def test_route_that_is_none_is_refused(served_set: Path, route: str) -> None:
    with pytest.raises(VindimaError, match="AIP_HEALTH_ROUTE: expected a path"):
        host.create_host_app({"SERVED": served_set, "HEALTH_ROUTE": route})


@pytest.mark.parametrize("port", ["http", "0", "70000", "-1"])
def test_port_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("AIP_HTTP_PORT", port)
    with pytest.raises(VindimaError, match="AIP_HTTP_PORT: expected a port"):
        host.port()


@pytest.fixture(params=["sagemaker", "vertex"])
def hosted(request: pytest.FixtureRequest, served_set: Path, tmp_path: Path) -> Iterator[tuple[str, str, str]]:
    """The address and the two routes of a service that is started as a host starts it: without a secret or users."""
    port = str(free_port())
    environment = {name: value for name, value in os.environ.items() if name not in ("PORT", "VINDIMA_JWT_SECRET")}
    environment |= {"VINDIMA_SERVED": str(served_set), "VINDIMA_USERS": str(tmp_path / "users.sqlite")}
    routes = "/ping", "/invocations"
    if request.param == "vertex":
        routes = "/v1/endpoints/7/health", "/v1/endpoints/7:predict"
        environment |= {"AIP_HTTP_PORT": port, "AIP_HEALTH_ROUTE": routes[0], "AIP_PREDICT_ROUTE": routes[1]}
        arguments = ["serve"]
    else:
        arguments = ["serve", "--host-contract", "--port", port]
    base = f"http://127.0.0.1:{port}"
    log = tmp_path / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen([*VINDIMA, *arguments], env=environment, stdout=output, stderr=output)
    try:
        wait_for(lambda: requests.get(base + routes[0], timeout=5), process)
        yield base, *routes
    finally:
        process.terminate()
        process.wait(timeout=30)
    assert "Traceback" not in log.read_text(encoding="utf-8")
    assert not (tmp_path / "users.sqlite").exists()


def test_real_server_answers_as_the_host_asks(hosted: tuple[str, str, str]) -> None:
    base, health, predict = hosted
    assert requests.get(base + health, timeout=10).status_code == 200
    answer = requests.post(base + predict, json={"instances": [{"series": CHILE}]}, timeout=10)
    assert answer.json()["predictions"][0]["series"] == CHILE
    assert requests.get(f"{base}/v1/series", timeout=10).status_code == 404
    broken = requests.post(base + predict, data=b"{", headers={"Content-Type": "application/json"}, timeout=10)
    assert (broken.status_code, json.loads(broken.content)["errors"][0]["field"]) == (400, "body")
