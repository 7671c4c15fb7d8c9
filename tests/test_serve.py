"""The real servers, started as a user starts them and called over loopback."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from vindima.errors import VindimaError
from vindima.serving import serve

SECRET = "a secret of the tests, 32 bytes and more"
SERVERS = ["gunicorn", "waitress"] if os.name == "posix" else ["waitress"]
VINDIMA = [sys.executable, "-c", "from vindima.cli import main; main()"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


@pytest.fixture
def environment(served_set: Path, users: Path) -> dict[str, str]:
    return os.environ | {
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "VINDIMA_SERVED": str(served_set),
        "VINDIMA_USERS": str(users),
        "VINDIMA_JWT_SECRET": SECRET,
    }


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*VINDIMA, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture(params=SERVERS)
def address(request: pytest.FixtureRequest, environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """Where a server answers; it must have said nothing of its secret when it ends."""
    log = tmp_path / "log.txt"
    base = f"http://127.0.0.1:{environment['PORT']}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*VINDIMA, "serve", "--server", request.param], env=environment, stdout=output, stderr=output
        )
    try:
        _wait_for(base, process, log)
        yield base
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    said = log.read_text(encoding="utf-8")
    assert f"Vindima answers at {base}" in said
    assert SECRET not in said
    assert "Traceback" not in said


def _wait_for(base: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            requests.get(f"{base}/health/live", timeout=5)
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"the server did not answer: {log.read_text(encoding='utf-8')}")


def test_server_answers_health_token_and_forecast_and_refuses_without_token(address: str) -> None:
    forecast = f"{address}/v1/series/imports.table_wine.CHL/forecast?horizon=2&level=80"
    with requests.Session() as session:
        assert session.get(f"{address}/health/ready", timeout=10).json()["status"] == "ready"
        refused = session.get(forecast, timeout=10)
        assert refused.status_code == 401
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert refused.headers["WWW-Authenticate"] == 'Bearer realm="vindima"'
        given = session.post(f"{address}/v1/token", auth=("ana", "uva isabel de 1875"), timeout=10).json()
        headers = {"Authorization": f"Bearer {given['access_token']}"}
        answer = session.get(forecast, headers=headers, timeout=10).json()
        assert [step["year"] for step in answer["path"]] == [2024, 2025]
        body = {"series": "imports.table_wine", "scenario": {"harvest": {"pct": -10}}}
        scenario = session.post(f"{address}/v1/predictions", json=body, headers=headers, timeout=10)
        assert scenario.json()["effects"][0]["input"] == "harvest"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_is_answered_with_a_token_and_refused_without(address: str) -> None:
    def curl(*arguments: str) -> str:
        whole = ["curl", "--silent", "--write-out", "\n%{http_code}", *arguments]
        return subprocess.run(whole, capture_output=True, text=True, timeout=30, check=True).stdout

    forecast = f"{address}/v1/series/imports.table_wine/forecast"
    assert curl(forecast).endswith("\n401")
    token = curl("--user", "ana:uva isabel de 1875", "--request", "POST", f"{address}/v1/token").split('"')[3]
    assert curl("--header", f"Authorization: Bearer {token}", forecast).endswith("\n200")


@pytest.mark.parametrize("server", SERVERS)
def test_port_in_use_ends_with_one_sentence(environment: dict[str, str], server: str) -> None:
    with socket.create_server(("127.0.0.1", int(environment["PORT"]))):
        ended = run(environment, "serve", "--server", server)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == (
        f"vindima: cannot serve at 127.0.0.1 port {environment['PORT']}: Address already in use; "
        "set HOST and PORT to a free address\n"
    )


def test_missing_secret_ends_with_one_sentence_that_says_how_to_make_one(
    environment: dict[str, str],
) -> None:
    del environment["VINDIMA_JWT_SECRET"]
    ended = run(environment, "serve")
    assert ended.returncode == 1
    assert ended.stderr == (
        "vindima: VINDIMA_JWT_SECRET is not set and has no default: "
        'make one with `python -c "import secrets; print(secrets.token_urlsafe(48))"`\n'
    )


def test_missing_model_ends_with_one_sentence(environment: dict[str, str]) -> None:
    served = Path(environment["VINDIMA_SERVED"])
    (served / "models" / "model.json").unlink()
    ended = run(environment, "serve")
    assert ended.returncode == 1
    assert ended.stderr == f"vindima: models/model.json is missing in {served}: run `make`\n"


def test_port_that_is_none_is_named(environment: dict[str, str]) -> None:
    ended = run(environment | {"PORT": "http"}, "serve")
    assert ended.returncode == 2
    assert "'http' is not a valid integer" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_host_that_is_none_is_named() -> None:
    with pytest.raises(VindimaError, match=r"cannot serve at 203\.0\.113\.1 port 0: "):
        serve.listen("203.0.113.1", 0)


def test_default_server_is_gunicorn_where_it_runs() -> None:
    assert serve.default_server() == SERVERS[0]


def test_set_is_what_the_command_line_switches_to(
    environment: dict[str, str], project_outputs: Path, tmp_path: Path
) -> None:
    target = tmp_path / "elsewhere"
    settings = {"VINDIMA_ROOT": str(project_outputs), "VINDIMA_SERVED": str(target)}
    ended = run(environment | settings, "switch")
    assert (ended.returncode, ended.stdout) == (0, f"switched: {target} holds what the pipeline made\n")
    assert (target / "models" / "model.json").is_file()
    (project_outputs / "reports" / "metrics.json").unlink()
    ended = run(environment | settings, "switch")
    assert ended.returncode == 1
    assert ended.stderr.startswith("vindima: reports/metrics.json is missing in ")


def test_root_app_module_is_the_service(environment: dict[str, str]) -> None:
    code = "from app import app; print(app.test_client().get('/health/ready').status_code)"
    root = Path(__file__).resolve().parent.parent
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout == "200\n"
