"""The service held against its own description, by cases that nobody thought of.

Schemathesis makes them from the OpenAPI document, calls the real server, and looks whether an answer is a server's
error, of an undocumented status or type, or of another shape than the document says.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.servers import SECRET, VINDIMA, environment_of, running, small_project
from vindima import runs
from vindima.serving import auth

CASES = 20_000
EXAMPLES = 3_200
"""Of each of the 15 operations; many have fewer distinct ones."""
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def against(base: str, token: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Schemathesis, run against the service at `base`."""
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{base}/openapi.json",
        "-H", f"Authorization: Bearer {token}", "--checks", CHECKS, "--phases", "examples,coverage,fuzzing",
        "--generation-database", "none", "--seed", "1875", "--no-color", *options,
    ]  # fmt: skip
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1200, check=False)


@pytest.mark.services
def test_no_case_of_twenty_thousand_is_answered_otherwise_than_described(
    served_set: Path, users: Path, tmp_path: Path
) -> None:
    environment = environment_of(served_set, users)
    base = f"http://127.0.0.1:{environment['PORT']}"
    auth.prepare(users, SECRET)
    token = auth.issue_token(users, SECRET, auth.User("ana", "reader", disabled=False))
    with running([*VINDIMA, "serve"], environment, tmp_path / "log.txt"):
        ended = against(base, token, tmp_path, "--max-examples", str(EXAMPLES))
        assert requests.get(f"{base}/health/ready", timeout=10).status_code == 200
    said = ended.stdout[-5000:] + ended.stderr[-2000:]
    assert ended.returncode == 0, said
    generated = re.search(r"(\d[\d,]*) generated", ended.stdout)
    assert generated, said
    assert int(generated[1].replace(",", "")) >= CASES, said


@pytest.mark.services
def test_no_case_of_an_operator_is_answered_otherwise_than_described(
    served_set: Path, users: Path, tmp_path: Path
) -> None:
    """The cases above are a reader's, who can start nothing; here every run is of a project of the test's own."""
    root = small_project(tmp_path / "collected")
    nowhere = {"VINDIMA_ROOT": str(root), "VINDIMA_SOURCE": "http://127.0.0.1:9"}
    environment = environment_of(served_set, users) | nowhere
    auth.add(users, "rita", "alicante bouschet", "operator")
    auth.prepare(users, SECRET)
    token = auth.issue_token(users, SECRET, auth.User("rita", "operator", disabled=False))
    base = f"http://127.0.0.1:{environment['PORT']}"
    with running([*VINDIMA, "serve"], environment, tmp_path / "log.txt"):
        ended = against(base, token, tmp_path, "--include-path-regex", "/v1/collections", "--max-examples", "500")
    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-2000:]
    assert runs.states(root / "reports" / "runs")
