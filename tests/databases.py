"""A PostgreSQL server of the tests' own, of Debian's package, in a temporary folder.

It refuses to run as root, so where we are root it runs as nobody.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.servers import free_port

PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda path: int(path.parent.name))
INITDB = shutil.which("initdb") or (PROGRAMS and str(PROGRAMS / "initdb"))
USER, PASSWORD = "vindima", "uva/isabel@1875"
IN_URL = "uva%2Fisabel%401875"
"""The password as a URL holds it."""
OWNER = "nobody" if hasattr(os, "geteuid") and os.geteuid() == 0 else None


@dataclass
class Cluster:
    """A folder that initdb made. The files of its log are small, so that all of its files can be held small."""

    folder: Path

    @contextmanager
    def running(self, *settings: str, most_kib: int | None = None) -> Iterator["Server"]:
        """The server, with settings such as `work_mem=1MB`; no file of it grows beyond `most_kib`."""
        port = free_port()
        options = [
            "fsync=off",
            "listen_addresses=127.0.0.1",
            f"port={port}",
            f"unix_socket_directories={self.folder}",
        ]
        command = [f"{Path(str(INITDB)).parent / 'postgres'}", "-D", str(self.folder / "data")]
        command += [word for setting in (*options, *settings) for word in ("-c", setting)]
        limited = ["sh", "-c", 'ulimit -f "$0" && exec "$@"', str(most_kib * 2) if most_kib else "unlimited"]
        with (self.folder / "log.txt").open("w") as log:
            process = subprocess.Popen([*limited, *command], stdout=log, stderr=log, user=OWNER, cwd=self.folder)
        try:
            server = Server(port)
            server.wait_until_it_answers(process, self.folder / "log.txt")
            yield server
        finally:
            process.terminate()  # SIGTERM waits for sessions
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.send_signal(3)  # SIGQUIT does not
                process.wait(20)


@dataclass
class Server:
    """A running server on this machine's `port`."""

    port: int
    databases = count()

    def url(self, database: str, user: str = USER, password: str = IN_URL, scheme: str = "postgres") -> str:
        return f"{scheme}://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def run(self, database: str, *statements: str) -> list[tuple]:
        """What the last statement answers."""
        import psycopg

        with psycopg.connect(self._words(database), autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def new_database(self) -> str:
        name = f"vindima_{next(self.databases)}"
        self.run("postgres", f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        return name

    def wait_until_it_answers(self, process: subprocess.Popen, log: Path) -> None:
        import psycopg

        until = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self._words("postgres")).close()
                return
            except psycopg.OperationalError:
                if process.poll() is not None or time.monotonic() > until:
                    raise AssertionError(f"PostgreSQL did not start: {log.read_text()}") from None
                time.sleep(0.05)

    def _words(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user={USER} password={PASSWORD} dbname={database}"


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A new cluster, which asks for passwords; it is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="vindima-postgres-"))
    try:
        (folder / "password").write_text(PASSWORD)
        if OWNER:
            for path in (folder, folder / "password"):
                shutil.chown(path, OWNER)
        command = [str(INITDB), "-D", str(folder / "data"), "-U", USER, "--pwfile", str(folder / "password")]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--wal-segsize=1", "--no-sync"]
        environment: Mapping[str, str] = {"PATH": os.environ["PATH"], "TZ": "UTC"}
        made = subprocess.run(
            command, user=OWNER, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert made.returncode == 0, made.stdout + made.stderr
        yield Cluster(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
