"""Object stores on this machine, each a real server process that a test run starts once and ends."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

BUCKET = "vindima-lake"
START_SECONDS = 60


@dataclass(frozen=True)
class Emulator:
    """A store with an empty `BUCKET` in it, and the environment in which programs use it."""

    protocol: str
    endpoint: str
    environment: dict[str, str]


@pytest.fixture(scope="session")
def s3_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Amazon S3, by moto_server."""
    with serving("moto_server", ["-H", "127.0.0.1", "-p"], tmp_path_factory.mktemp("s3")) as endpoint:
        requests.put(f"{endpoint}/{BUCKET}", timeout=10).raise_for_status()
        yield Emulator(
            protocol="s3",
            endpoint=endpoint,
            environment={
                "AWS_ENDPOINT_URL": endpoint,
                "AWS_ACCESS_KEY_ID": "emulated",
                "AWS_SECRET_ACCESS_KEY": "emulated",
                "AWS_DEFAULT_REGION": "us-east-1",
            },
        )


@pytest.fixture(scope="session")
def gs_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Google Cloud Storage, by gcp-storage-emulator; it asks for no credentials."""
    folder = tmp_path_factory.mktemp("gs")
    options = ["start", "--quiet", "--in-memory", "--default-bucket", BUCKET, "--host", "127.0.0.1", "--port"]
    with serving("gcp-storage-emulator", options, folder) as endpoint:
        yield Emulator(
            protocol="gs",
            endpoint=endpoint,
            environment={
                "STORAGE_EMULATOR_HOST": endpoint,
                # Nobody's credentials, nor a search for them; gcsfs would send them to Google to be refreshed.
                "GOOGLE_APPLICATION_CREDENTIALS": str(folder / "none.json"),
                "NO_GCE_CHECK": "true",
                # By gRPC, which the emulator does not speak, gcsfs would ask for the kind of the bucket, for minutes.
                "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
            },
        )


@pytest.fixture(params=["s3", "gs"])
def emulator(request: pytest.FixtureRequest) -> Emulator:
    """Each of the stores in turn."""
    return request.getfixturevalue(f"{request.param}_emulator")


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def serving(program: str, arguments: list[str], folder: Path) -> Iterator[str]:
    """The address at which `program`, with a free port as its last argument, answers until the block ends."""
    path = shutil.which(program, path=str(Path(sys.executable).parent)) or shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen([path, *arguments, str(port)], cwd=folder, stdout=log, stderr=log) as server,
    ):
        try:
            _wait_for(endpoint, server, folder / "log")
            yield endpoint
        finally:
            server.terminate()


def _wait_for(endpoint: str, server: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            requests.get(endpoint, timeout=5)
            return
        except requests.ConnectionError:
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"no server answers on {endpoint}: {log.read_text(errors='replace')}") from None
            time.sleep(0.1)
