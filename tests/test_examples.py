"""What the documents show a user of the service, run as it stands there against the real service and the real set."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from deploy import postman
from tests.servers import SECRET, VINDIMA, environment_of, running, small_project
from vindima import paths, runs
from vindima.serving import auth

PASSWORD = "uva isabel de 1875"
EXAMPLES = paths.ROOT / "examples"
READMES = [paths.ROOT / name for name in ("README.md", "README.pt-BR.md")]

needs_set = pytest.mark.skipif(not (paths.SERVED / "set.json").is_file(), reason="there is no set: run `make`")
needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture
def environment(users: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of an example, with the real service answering from the real set."""
    known = environment_of(paths.SERVED, users)
    known |= {"VINDIMA_ROOT": str(small_project(tmp_path / "collected")), "VINDIMA_SOURCE": "http://127.0.0.1:9"}
    url = f"http://127.0.0.1:{known['PORT']}"
    with running([*VINDIMA, "serve"], known, tmp_path / "log.txt"):
        yield os.environ | {"VINDIMA_URL": url, "VINDIMA_NAME": "ana", "VINDIMA_PASSWORD": PASSWORD}


def run(command: list[str], environment: dict[str, str]) -> str:
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@needs_set
@needs_curl
def test_curl_shows_the_forecast_and_what_a_dearer_dollar_does(environment: dict[str, str]) -> None:
    said = run([str(EXAMPLES / "forecast.sh")], environment)
    as_it_is, moved = (json.loads(line) for line in said.splitlines() if line.startswith("{"))
    assert as_it_is["path"] == moved["baseline"]
    assert moved["path"][0]["forecast"] < as_it_is["path"][0]["forecast"]
    assert moved["effects"][0]["input"] == "exchange_rate"


@needs_set
def test_python_prints_a_line_for_each_year_and_the_warnings_in_portuguese(environment: dict[str, str]) -> None:
    lines = run([sys.executable, str(EXAMPLES / "forecast.py")], environment).splitlines()
    for line in lines[:3]:
        assert re.fullmatch(r"20\d\d  \d\.\d\d \(\d\.\d\d to \d\.\d\d\)  moved: \d\.\d\d", line)
    assert lines[3].startswith("- O preço é o valor unitário")


@needs_set
@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
@needs_curl
def test_readme_sets_every_variable_that_it_uses_and_shows_what_is_answered(
    readme: Path, environment: dict[str, str], users: Path
) -> None:
    text = readme.read_text(encoding="utf-8")
    [block] = re.findall(r"```console\n(\$ export VINDIMA_JWT_SECRET.*?)```", text, re.DOTALL)
    commands = [line[2:] for line in block.splitlines() if line.startswith("$ ")]
    known: set[str] = set()
    for command in commands:
        assert set(re.findall(r"\$([A-Z_]+)", command)) <= known, command
        known |= set(re.findall(r"(?:^|export )([A-Z_]+)=", command))
    [command] = [one for one in commands if "/forecast" in one]
    token = auth.issue_token(users, SECRET, auth.User("ana", "reader", disabled=False))
    asked = command.replace("localhost:8000", environment["VINDIMA_URL"].removeprefix("http://"))
    answer = json.loads(run(["bash", "-c", asked], environment | {"TOKEN": token}))
    [step] = answer["path"]
    shown = block[block.index(command) :]
    for number in (step["forecast"], *step["intervals"]["80"]):
        assert str(number) in shown
    assert answer["provenance"]["vintage"] in shown


# ---- with npm


@pytest.fixture(scope="session")
def npm() -> Path:
    """The folder of the packages of the lock, installed."""
    postman.install()
    return postman.FOLDER


@pytest.mark.services
@needs_set
@needs_npm
def test_collection_is_the_one_that_the_description_gives(npm: Path) -> None:
    for path, content in postman.documents().items():
        assert json.loads(path.read_bytes()) == content, f"{path.name}: run `make postman`"


@pytest.mark.services
@needs_set
@needs_npm
def test_newman_runs_the_collection_without_a_failure(
    npm: Path, environment: dict[str, str], users: Path, tmp_path: Path
) -> None:
    auth.add(users, "rita", PASSWORD, "operator")
    summary = tmp_path / "summary.json"
    command = [
        "npx", "--no-install", "newman", "run", str(postman.COLLECTION), "--environment", str(postman.ENVIRONMENT),
        "--env-var", f"baseUrl={environment['VINDIMA_URL']}", "--env-var", "basicAuthUsername=rita",
        "--env-var", f"basicAuthPassword={PASSWORD}",
        "--reporters", "cli,json", "--reporter-json-export", str(summary),
    ]  # fmt: skip
    ended = subprocess.run(command, cwd=npm, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout
    stats = json.loads(summary.read_bytes())["run"]["stats"]
    requests_of = sum(len(folder["item"]) for folder in json.loads(postman.COLLECTION.read_bytes())["item"])
    assert stats["requests"] == {"total": requests_of, "pending": 0, "failed": 0}
    assert stats["assertions"]["failed"] == 0
    assert stats["assertions"]["total"] > requests_of
    begun = runs.states(tmp_path / "collected" / "reports" / "runs")
    assert [one["until"] for one in begun] == ["collect"], "the second is refused while the first is under way"


@pytest.mark.services
@needs_set
@needs_npm
def test_web_query_of_a_spreadsheet_is_power_query_and_its_two_calls_give_the_rows(
    npm: Path, environment: dict[str, str]
) -> None:
    text = (EXAMPLES / "trade.pq").read_text(encoding="utf-8")
    program = (
        "const p = require('@microsoft/powerquery-parser');"
        "p.TaskUtils.tryLexParse(p.DefaultSettings, require('fs').readFileSync(0, 'utf8'))"
        ".then((task) => console.log(task.resultKind, task.stage))"
    )
    parsed = subprocess.run(["node", "-e", program], cwd=npm, input=text, capture_output=True, text=True, check=True)
    assert parsed.stdout == "Ok Parse\n"
    first, second = re.findall(r'RelativePath = "([^"]+)"', text)
    query = dict(re.findall(r'(\w+) = "(\w+)"', re.findall(r"Query = \[(.*?)\]", text)[0]))
    basic = "Basic " + base64.b64encode(f"ana:{PASSWORD}".encode()).decode()
    url = environment["VINDIMA_URL"]
    given = requests.post(f"{url}/{first}", headers={"Authorization": basic}, data=b"", timeout=10)
    bearer = {"Authorization": f"Bearer {given.json()['access_token']}"}
    rows = requests.get(f"{url}/{second}", params=query, headers=bearer, timeout=10).text.splitlines()
    columns = rows[0].split(",")
    assert {"year", "quantity_kg", "value_usd"} <= set(columns)
    assert len(rows) > 100
    assert {row.split(",")[columns.index("country")] for row in rows[1:]} == {"CHL"}
