"""The real servers, started as a user starts them and called over loopback."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from benchmarks.attacks import certify
from tests.servers import ROOT, SECRET, SERVERS, VINDIMA, environment_of, running
from vindima.errors import VindimaError
from vindima.serving import auth, serve


@pytest.fixture
def environment(served_set: Path, users: Path) -> dict[str, str]:
    return environment_of(served_set, users)


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*VINDIMA, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture(params=SERVERS)
def address(request: pytest.FixtureRequest, environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """Where a server answers."""
    base = f"http://127.0.0.1:{environment['PORT']}"
    with running([*VINDIMA, "serve", "--server", request.param], environment, tmp_path / "log.txt"):
        yield base
    assert f"Vindima answers at {base}\n" in (tmp_path / "log.txt").read_text(encoding="utf-8")


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


def test_body_of_which_a_part_came_is_not_taken_for_a_whole_one(address: str) -> None:
    given = requests.post(f"{address}/v1/token", auth=("ana", "uva isabel de 1875"), timeout=10).json()
    head = (
        "POST /v1/predictions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {given['access_token']}\r\nContent-Length: 100\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=20) as client:
        client.sendall(head.encode() + b'{"series": "imports.table_wine"}')
        client.shutdown(socket.SHUT_WR)
        reply = b"".join(iter(lambda: client.recv(65536), b""))
    assert b"200 OK" not in reply
    if reply:  # waitress closes without a word
        assert b" 400 " in reply.splitlines()[0]
        assert json.loads(reply.partition(b"\r\n\r\n")[2])["detail"] == "The body is not whole."


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


@pytest.fixture(scope="session")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate and its key."""
    return certify(tmp_path_factory.mktemp("tls"))


def test_certificate_without_key_ends_with_one_sentence(
    environment: dict[str, str], certified: tuple[Path, Path]
) -> None:
    ended = run(environment | {"VINDIMA_TLS_CERTIFICATE": str(certified[0])}, "serve")
    assert ended.returncode == 1
    assert ended.stderr == "vindima: --certificate is of no use without --key: give both or none\n"
    with pytest.raises(VindimaError, match="--key is of no use without --certificate"):
        serve.tls("gunicorn", None, certified[1])


def test_waitress_with_certificate_ends_with_one_sentence(
    environment: dict[str, str], certified: tuple[Path, Path]
) -> None:
    files = ["--certificate", str(certified[0]), "--key", str(certified[1])]
    ended = run(environment, "serve", "--server", "waitress", *files)
    assert ended.returncode == 1
    assert ended.stderr == (
        "vindima: waitress has no TLS: use `--server gunicorn`, or a proxy and no --certificate\n"
    )


def test_files_of_tls_that_are_not_usable_are_named_and_not_shown(
    certified: tuple[Path, Path], tmp_path: Path
) -> None:
    certificate, key = certified
    absent, text, encrypted, other = (tmp_path / name for name in ("absent", "text", "encrypted", "other"))
    text.write_text("-----BEGIN NOTHING-----\nabcdefgh\n-----END NOTHING-----\n", encoding="utf-8")
    private = load_pem_private_key(key.read_bytes(), password=None)
    shape = (Encoding.PEM, PrivateFormat.PKCS8)
    encrypted.write_bytes(private.private_bytes(*shape, BestAvailableEncryption(b"uva")))
    other.mkdir()
    stranger = certify(other)[1]
    for files, said in {
        (absent, key): f"the certificate {absent} cannot be read: No such file or directory",
        (certificate, absent): f"the key {absent} cannot be read: No such file or directory",
        (other, key): f"the certificate {other} cannot be read: Is a directory",
        (text, key): f"the certificate {text} is none in PEM",
        (certificate, text): f"the key {text} is no private key in PEM",
        (certificate, encrypted): f"the key {encrypted} is encrypted: the service wants one without a pass phrase",
        (certificate, stranger): f"the key {stranger} does not match the certificate {certificate}",
    }.items():
        with pytest.raises(VindimaError) as refused:
            serve.tls("gunicorn", *files)
        assert str(refused.value) == said


@pytest.mark.skipif(os.name != "posix", reason="gunicorn does not run here")
def test_service_with_a_certificate_answers_over_https(
    environment: dict[str, str], certified: tuple[Path, Path], tmp_path: Path
) -> None:
    certificate, key = certified
    files = {"VINDIMA_TLS_CERTIFICATE": str(certificate), "VINDIMA_TLS_KEY": str(key)}
    log = tmp_path / "log.txt"
    with running([*VINDIMA, "serve"], environment | files, log, certificate):
        base = f"https://localhost:{environment['PORT']}"
        given = requests.post(
            f"{base}/v1/token", auth=("ana", "uva isabel de 1875"), verify=str(certificate), timeout=10
        )
        assert given.json()["token_type"] == "Bearer"
    first, *lines = log.read_text(encoding="utf-8").splitlines()
    assert first == f"Vindima answers at https://127.0.0.1:{environment['PORT']}"
    assert {json.loads(line)["level"] for line in lines} == {"INFO"}


@pytest.mark.skipif(os.name != "posix", reason="gunicorn does not run here")
def test_all_workers_agree_at_once_on_a_key_that_is_retired_and_a_user_who_is_disabled(
    environment: dict[str, str], users: Path, tmp_path: Path
) -> None:
    series = f"http://127.0.0.1:{environment['PORT']}/v1/series"

    def answers(token: str) -> set[int]:
        """The statuses of thirty calls, each over a connection of its own: both workers get some."""
        headers = {"Authorization": f"Bearer {token}"}
        return {requests.get(series, headers=headers, timeout=10).status_code for _ in range(30)}

    with running([*VINDIMA, "serve"], environment, tmp_path / "log.txt"):
        ana, bia = (auth.User(name, "reader", disabled=False) for name in ("ana", "bia"))
        auth.add(users, "bia", "cabernet franc 1898")
        first = auth.issue_token(users, SECRET, ana)
        added = run(environment, "keys", "add").stdout
        second, of_bia = auth.issue_token(users, SECRET, ana), auth.issue_token(users, SECRET, bia)
        assert [answers(token) for token in (first, second, of_bia)] == [{200}] * 3
        leaked = re.findall("[0-9a-f]{16}", added)[0]
        assert run(environment, "keys", "retire", leaked, "--now").returncode == 0
        assert answers(second) == {401}
        assert answers(first) == {200}
        assert run(environment, "users", "disable", "ana").returncode == 0
        assert answers(first) == {401}


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
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout == "200\n"
