"""A standalone Spark cluster of the tests' own on loopback: a master and two worker processes of one core each."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psutil

from tests.servers import free_port

WORKERS = 2
MEMORY = "700m"
"""What a worker may give to its executor."""
LOG = """
rootLogger.level = info
rootLogger.appenderRef.stdout.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %p %c{1}: %m%n%ex
"""
"""Spark's own settings say nothing of a worker that has registered."""


@dataclass
class Cluster:
    """A running cluster; `url` is the address of its master, `folder` where it writes."""

    url: str
    folder: Path
    workers: list[subprocess.Popen] = field(default_factory=list)

    def start_a_worker(self) -> subprocess.Popen:
        """One more worker, once the master knows it."""
        work = self.folder / f"work-{len(self.workers)}"
        options = ["--host", "127.0.0.1", "--cores", "1", "--memory", MEMORY, "--work-dir", str(work)]
        options += ["--webui-port", str(free_port())]
        worker = _start("worker.Worker", [*options, self.url], self.folder / f"worker-{len(self.workers)}.log")
        self.workers.append(worker)
        _wait(lambda: "Successfully registered" in self.log(len(self.workers) - 1), worker)
        return worker

    def log(self, worker: int) -> str:
        return (self.folder / f"worker-{worker}.log").read_text()

    def kill(self, worker: subprocess.Popen) -> None:
        """Kill a worker and what runs its tasks, without a word."""
        for process in [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]:
            process.kill()
        worker.wait()


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A new cluster that writes to `folder`; none of its processes is there afterwards."""
    port = free_port()
    options = ["--host", "127.0.0.1", "--port", str(port), "--webui-port", str(free_port())]
    with ExitStack() as ending:
        master = _start("master.Master", options, folder / "master.log")
        ending.callback(_end, master)
        _wait(lambda: "I have been elected leader" in (folder / "master.log").read_text(), master)
        made = Cluster(f"spark://127.0.0.1:{port}", folder)
        ending.callback(lambda: [_end(worker) for worker in made.workers])
        for _ in range(WORKERS):
            made.start_a_worker()
        yield made


def _start(kind: str, options: list[str], log: Path) -> subprocess.Popen:
    program = Path(str(find_spec("pyspark").origin)).parent / "bin" / "spark-class"  # type: ignore[union-attr]
    settings = log.parent / "conf"
    settings.mkdir(exist_ok=True)
    (settings / "log4j2.properties").write_text(LOG)
    here = {"SPARK_LOCAL_DIRS": str(log.parent / "local"), "SPARK_LOCAL_IP": "127.0.0.1"}
    here |= {"SPARK_DAEMON_MEMORY": "256m", "SPARK_CONF_DIR": str(settings)}
    with log.open("w") as file:
        return subprocess.Popen(
            [str(program), f"org.apache.spark.deploy.{kind}", *options],
            env=os.environ | here, stdout=file, stderr=file, cwd=log.parent,
        )  # fmt: skip


def _wait(ready: Callable[[], bool], process: subprocess.Popen) -> None:
    until = time.monotonic() + 60
    while not ready():
        if process.poll() is not None or time.monotonic() > until:
            raise AssertionError(f"Spark's {process.args[1]} did not start")  # type: ignore[index]
        time.sleep(0.05)


def _end(process: subprocess.Popen) -> None:
    """Kill it and all that it has started."""
    if process.poll() is None:
        for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            try:
                one.kill()
            except psutil.NoSuchProcess:
                continue
    process.wait(20)
