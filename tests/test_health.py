"""The health check of a container asks the service where and how it listens, whatever the environment says."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from benchmarks.attacks import certify
from tests.servers import SERVERS, VINDIMA, environment_of, running
from vindima.serving import health, host


def check(environment: dict[str, str]) -> int:
    return subprocess.run([sys.executable, "-m", "vindima.serving.health"], env=environment, check=False).returncode


@pytest.mark.parametrize(
    ("environment", "called"),
    [
        ({}, ("127.0.0.1", 8000, "/health/live")),
        ({"HOST": "0.0.0.0", "PORT": "9000", "AIP_HTTP_PORT": ""}, ("127.0.0.1", 9000, "/health/live")),  # noqa: S104
        ({"HOST": "::", "VINDIMA_HOST_CONTRACT": "0"}, ("::1", 8000, "/health/live")),
        ({"HOST": "10.0.0.7", "VINDIMA_HOST_CONTRACT": "1"}, ("10.0.0.7", 8080, "/ping")),
        ({"VINDIMA_HOST_CONTRACT": "true", "PORT": "9000"}, ("127.0.0.1", 9000, "/ping")),
        ({"AIP_HTTP_PORT": "7080", "AIP_HEALTH_ROUTE": "/v1/health"}, ("127.0.0.1", 7080, "/v1/health")),
    ],
)
def test_check_calls_where_the_service_listens(environment: dict[str, str], called: tuple[str, int, str]):
    assert health.address(environment) == called


@pytest.mark.parametrize("contract", ["", "1"])
def test_check_is_0_while_the_service_answers_and_1_when_it_does_not(
    contract: str, served_set: Path, users: Path, tmp_path: Path
):
    environment = environment_of(served_set, users) | {"VINDIMA_HOST_CONTRACT": contract}
    environment |= {"AIP_HEALTH_ROUTE": "/health/live"}  # that the tests' own wait asks
    assert check(environment) == 1
    with running([*VINDIMA, "serve"], environment, tmp_path / "log.txt"):
        assert check(environment) == 0
    assert check(environment) == 1


@pytest.mark.skipif("gunicorn" not in SERVERS, reason="waitress has no TLS")
def test_check_speaks_tls_where_the_service_does(served_set: Path, users: Path, tmp_path: Path):
    certificate, key = certify(tmp_path)
    environment = environment_of(served_set, users)
    environment |= {"VINDIMA_TLS_CERTIFICATE": str(certificate), "VINDIMA_TLS_KEY": str(key)}
    with running([*VINDIMA, "serve"], environment, tmp_path / "log.txt", certificate):
        assert check(environment) == 0


def test_service_that_has_nothing_to_predict_from_does_not_pass(tmp_path: Path):
    server = make_server("127.0.0.1", 0, host.create_host_app({"SERVED": tmp_path / "none"}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert not health.answers({"VINDIMA_HOST_CONTRACT": "1", "PORT": str(server.port)})
    finally:
        server.shutdown()
        server.server_close()


def test_check_imports_the_standard_library_alone():
    program = (
        "import sys; before = set(sys.modules); import vindima.serving.health; print(*sys.modules.keys() - before)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {name.partition(".")[0] for name in found} <= sys.stdlib_module_names | {"vindima"}
