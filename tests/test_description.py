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

from tests.servers import SECRET, VINDIMA, environment_of, running
from vindima.serving import auth

CASES = 20_000
EXAMPLES = 3_200
"""Of each of the 13 operations; many have fewer distinct ones."""
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.services
def test_no_case_of_twenty_thousand_is_answered_otherwise_than_described(
    served_set: Path, users: Path, tmp_path: Path
) -> None:
    environment = environment_of(served_set, users)
    base = f"http://127.0.0.1:{environment['PORT']}"
    auth.prepare(users, SECRET)
    token = auth.issue_token(users, SECRET, auth.User("ana", "reader", disabled=False))
    with running([*VINDIMA, "serve"], environment, tmp_path / "log.txt"):
        command = [
            sys.executable, "-m", "schemathesis.cli", "run", f"{base}/openapi.json",
            "-H", f"Authorization: Bearer {token}",
            "--max-examples", str(EXAMPLES), "--checks", CHECKS, "--phases", "examples,coverage,fuzzing",
            "--generation-database", "none", "--seed", "1875", "--no-color",
        ]  # fmt: skip
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=1200, check=False)
        assert requests.get(f"{base}/health/ready", timeout=10).status_code == 200
    said = ended.stdout[-5000:] + ended.stderr[-2000:]
    assert ended.returncode == 0, said
    generated = re.search(r"(\d[\d,]*) generated", ended.stdout)
    assert generated, said
    assert int(generated[1].replace(",", "")) >= CASES, said
