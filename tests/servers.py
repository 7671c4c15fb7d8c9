"""The service as a user starts it, and an application of the tests' own under the same servers."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import yaml
from flask import Flask, Response, request
from werkzeug.exceptions import RequestTimeout

from benchmarks.attacks import call_live, wait_for
from tests.conftest import PARAMETERS
from vindima.serving import bounds, serve

ROOT = Path(__file__).resolve().parent.parent
SECRET = "a secret of the tests, 32 bytes and more"
SERVERS = ["gunicorn", "waitress"] if os.name == "posix" else ["waitress"]
VINDIMA = [sys.executable, "-c", "from vindima.cli import main; main()"]
DEADLINE = 2
HASTY = f"from vindima.serving import bounds; bounds.READ_SECONDS = bounds.SEND_SECONDS = {DEADLINE}; "
HASTY_VINDIMA = [sys.executable, "-c", f"{HASTY}from vindima.cli import main; main()"]
HASTY_APP = [sys.executable, "-c", f"{HASTY}from tests import servers; servers.main()"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def environment_of(served: Path, users: Path) -> dict[str, str]:
    return os.environ | {
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "VINDIMA_SERVED": str(served),
        "VINDIMA_USERS": str(users),
        "VINDIMA_JWT_SECRET": SECRET,
    }


def small_project(root: Path) -> Path:
    """A project of one stage, which does next to nothing: what a service that is asked to collect runs."""
    root.mkdir()
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=root, check=True)
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMETERS))
    stages = {"collect": {"cmd": f"{sys.executable} -c \"open('a', 'w').write('a')\"", "outs": ["a"]}}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    return root


@contextmanager
def running(
    command: list[str], environment: dict[str, str], log: Path, certificate: Path | None = None
) -> Iterator[subprocess.Popen]:
    """The process of a server that answers; it must have said nothing of its secret, nor failed, when it ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        wait_for(partial(call_live, int(environment["PORT"]), certificate), process)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    said = log.read_text(encoding="utf-8")
    assert SECRET not in said
    assert "Traceback" not in said


def make_app() -> Flask:
    app = Flask("tests")
    started: list[int] = []
    app.extensions["vindima.started"] = lambda: started.append(os.getpid())
    app.config["MADE_IN"] = os.getpid()

    @app.get("/health/live")
    def live() -> dict:
        return {"status": "live"}

    @app.get("/process")
    def process() -> dict:
        return {"process": os.getpid(), "made": app.config["MADE_IN"], "started": started, "scheme": request.scheme}

    @app.get("/sleep")
    def sleep() -> dict:
        time.sleep(request.args.get("seconds", 1, float))
        return {"process": os.getpid()}

    @app.get("/csv")
    def csv() -> Response:
        lines = b"1997,imports.table_wine,2.7183\n" * 2114
        pieces = 16 * request.args.get("megabytes", 1, int)
        return Response((lines for _ in range(pieces)), mimetype="text/csv")

    @app.post("/length")
    def length() -> dict:
        return {"bytes": len(request.get_data())}

    @app.errorhandler(RequestTimeout)
    def late(error: RequestTimeout) -> Response:
        return Response(bounds.problem(408), 408, mimetype="application/problem+json")

    return app


def main() -> None:
    """Serve the application of the tests by the server that is named, with a certificate and its key if given."""
    listening = serve.listen("127.0.0.1", int(os.environ["PORT"]))
    serve.serve(make_app, listening, sys.argv[1], *map(Path, sys.argv[2:]))  # type: ignore[arg-type]
