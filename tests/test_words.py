"""The words of the image that has the whole project: `train` and `run`, and `serve` of what they leave.

It is built as `tests/test_image.py` builds the service, and started as another user, without an engine: what that
user may not write is as good as read-only.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.conftest import ROOT
from tests.emulators import BUCKET, Emulator
from tests.servers import free_port, wait_for
from tests.test_image import PASSWORD, SECRET, Builder, Container, ask_as_people_do, built, needs_builder
from vindima import storage
from vindima.serving import auth

pytestmark = [pytest.mark.deploy, needs_builder]
CHILE = "imports.table_wine.CHL"
USER = 10001
VINTAGE = "served/data/raw/manifest.json"


@pytest.fixture(scope="module")
def builder(set_made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    yield from built(tmp_path_factory.mktemp("image"), set_made_once, "--target", "pipeline")


@pytest.fixture(scope="module")
def container(builder: Builder) -> Iterator[Container]:
    """One for all tests, since to make one copies the whole image: each word begins with the image's own project."""
    name = builder("from", "vindima")
    yield Container(builder, name)
    builder("rm", name)


def word(
    container: Container, word: str, environment: dict[str, str], volume: str | None = None
) -> subprocess.CompletedProcess[str]:
    whole = container.command(["entrypoint.sh", word], environment, volume)
    return subprocess.run(whole, capture_output=True, text=True, timeout=600, check=False)


def ask(base: str) -> dict:
    assert requests.get(f"{base}/ping", timeout=10).status_code == 200
    answer = requests.post(f"{base}/invocations", json={"series": CHILE}, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """The folder that SageMaker mounts at /opt/ml, with a lake among its data."""
    folder = tmp_path / "ml"
    for name in ("input/data/lake", "model", "output"):
        (folder / name).mkdir(parents=True)
    command = [sys.executable, "-m", "vindima", "collect", "--source", "mirror", "--into", tmp_path / "raw"]
    command += ["--lake", folder / "input" / "data" / "lake"]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"VINDIMA_ROOT": str(ROOT)}, check=True, capture_output=True)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, USER, USER)
    for path in (tmp_path, *tmp_path.parents[:-2]):
        path.chmod(path.stat().st_mode | 0o711)
    return folder


def hyperparameters(host: Path, text: str) -> None:
    """Give the training what SageMaker gives it as its hyperparameters."""
    given = host / "input" / "config" / "hyperparameters.json"
    given.parent.mkdir()
    given.write_text(text, encoding="utf-8")


def test_model_that_is_trained_on_a_lake_answers_its_host(container: Container, host: Path, tmp_path: Path):
    hyperparameters(host, '{"prices.base_year": "2020"}')
    trained = word(container, "train", {}, f"{host}:/opt/ml")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert "taken from the lake: /opt/ml/input/data/lake/" in trained.stdout
    made = json.loads((host / "model" / "models" / "model.json").read_text(encoding="utf-8"))
    money = json.loads((host / "model" / "data" / "prices" / "base_year.json").read_text(encoding="utf-8"))
    assert money == {"base_year": 2020}
    environment = {"VINDIMA_HOST_CONTRACT": "1", "PORT": str(free_port())}
    with container.serving(environment, tmp_path / "log.txt", f"{host}:/opt/ml:ro") as base:
        answer = ask(base)
    assert answer["provenance"]["vintage"] == made["vintage"]
    assert next(step["year"] for step in answer["path"]) == made["cutoff"] + 1


def test_hyperparameter_that_is_none_ends_with_one_sentence(container: Container, host: Path):
    hyperparameters(host, '{"forecast.horizon": "50"}')
    refused = word(container, "train", {}, f"{host}:/opt/ml")
    assert refused.returncode == 1
    sentence = "vindima: forecast.horizon: expected a whole number of years from 1 to 10, got 50"
    assert (host / "output" / "failure").read_text(encoding="utf-8") == f"{sentence}\n"
    assert not list((host / "model").iterdir())


def test_read_only_image_runs_and_serves_the_users_that_its_storage_keeps(container: Container, tmp_path: Path):
    data = tmp_path / "data"
    (data / "storage").mkdir(parents=True)
    users = tmp_path / "users.sqlite"
    auth.add(users, "ana", PASSWORD)
    storage.Storage(str(data / "storage")).keep_users(users)
    for path in (data, *data.rglob("*")):
        os.chown(path, USER, USER)
    whole = container.read_only(["sh", "-c", "touch /usr/x; touch /var/lib/vindima/x /tmp/x"], {}, data)
    tried = subprocess.run(whole, capture_output=True, text=True, check=False)
    assert (tried.returncode, tried.stderr) == (0, "touch: cannot touch '/usr/x': Read-only file system\n")

    ran = container.read_only(["entrypoint.sh", "run"], {"VINDIMA_SOURCE": "mirror"}, data)
    done = subprocess.run(ran, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    port = free_port()
    environment = {"PORT": str(port), "VINDIMA_JWT_SECRET": SECRET, "VINDIMA_STORAGE": "/var/lib/vindima/storage"}
    with (tmp_path / "log.txt").open("wb") as log:
        process = subprocess.Popen(container.read_only(["entrypoint.sh"], environment, data), stdout=log, stderr=log)
    try:
        wait_for(lambda: socket.create_connection(("127.0.0.1", port), timeout=5).close(), process)
        ask_as_people_do(f"http://127.0.0.1:{port}", json.loads((data / VINTAGE).read_text("utf-8"))["vintage"], 2025)
    finally:
        process.terminate()
        ended = process.wait(timeout=60)
    said = (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert ended == 0, said
    assert "holds what the storage keeps" in said
    assert "Traceback" not in said


def test_training_without_a_lake_ends_with_one_sentence(container: Container, host: Path):
    said = word(container, "train", {})
    sentence = "vindima: train needs a lake: VINDIMA_LAKE, VINDIMA_STORAGE or /opt/ml/input/data/lake"
    assert (said.returncode, said.stderr.splitlines()[0]) == (1, sentence)
    for path in sorted((host / "input" / "data" / "lake").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    said = word(container, "train", {}, f"{host}:/opt/ml")
    sentence = "vindima: /opt/ml/input/data/lake: expected a lake with a complete snapshot, got none"
    assert (said.returncode, said.stderr.splitlines()[0]) == (1, sentence)
    assert (host / "output" / "failure").read_text(encoding="utf-8") == f"{sentence}\n"
    assert not list((host / "model").iterdir())


def test_runs_are_kept_in_a_bucket_and_served_from_it(
    container: Container, builder: Builder, tmp_path: Path, request: pytest.FixtureRequest
):
    emulator: Emulator = request.getfixturevalue("s3_emulator")
    storage = f"s3://{BUCKET}/{tmp_path.name}"
    environment = emulator.environment | {"VINDIMA_STORAGE": storage, "VINDIMA_SOURCE": "mirror"}
    refused = word(container, "run", environment | {"VINDIMA_STORAGE": "s3://nobodys-bucket/here"})
    assert refused.returncode == 1
    assert "vindima: s3://nobodys-bucket/here: the storage cannot be " in refused.stderr
    first = word(container, "run", environment)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "the project and its set are kept in the storage" in first.stdout

    other = Container(builder, builder("from", "vindima"))
    second = word(other, "run", environment)
    assert (second.returncode, second.stdout.splitlines()[-1][:18]) == (0, "nothing new at the"), second.stdout

    serving = environment | {"VINDIMA_HOST_CONTRACT": "1", "PORT": str(free_port())}
    with other.serving(serving, tmp_path / "log.txt") as base:
        assert ask(base)["provenance"]["model"] == "joint"
    away = serving | {"VINDIMA_STORAGE": "s3://nobodys-bucket/here", "PORT": str(free_port())}
    with other.serving(away, tmp_path / "away.txt") as base:
        assert ask(base)["provenance"]["model"] == "joint"
    assert "the set on hand is served" in (tmp_path / "away.txt").read_text(encoding="utf-8")
