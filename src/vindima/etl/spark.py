"""A Spark session, for computations that one machine is too small for.

PySpark comes with the extra `spark` and needs Java 17 or newer. Where the session runs is said by `VINDIMA_SPARK`,
the address of a master: `local[*]` (all cores of this machine; the default), `spark://host:port`, `yarn`. Memory and
the like are set as for any Spark program, in the `spark-defaults.conf` of the folder that `SPARK_CONF_DIR` names.
"""

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING

from vindima.errors import VindimaError

if TYPE_CHECKING:
    import ibis
    import pandas as pd
    from pyspark.sql import SparkSession

SECONDS_TO_CONNECT = 10
SECONDS_FOR_A_WORKER = 60
"""How long the workers of a cluster may take to begin with the first task."""


@contextmanager
def session() -> Iterator["SparkSession"]:
    """A session at the master of `VINDIMA_SPARK`, stopped afterwards; a session that is there is used, and stays.

    Raises VindimaError where PySpark or Java is missing, where the master does not answer or none of its workers
    takes a task within a minute, and for what Spark itself cannot do.
    """
    master = os.environ.get("VINDIMA_SPARK") or "local[*]"
    if lacks := missing():
        raise VindimaError(f"Spark: {lacks}")
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    try:
        try:
            theirs = SparkSession.active()
        except PySparkException:
            theirs = None
        active = theirs or _started(master)
        try:
            yield active
        finally:
            if theirs is None:
                active.stop()
    except (Py4JError, PySparkException) as error:
        raise VindimaError(f"Spark at {master}: {_in_a_line(error)}") from error


def on_spark(
    tables: "Mapping[str, pd.DataFrame]", expression: "Callable[..., ibis.Table]", *arguments: object
) -> "pd.DataFrame":
    """What `expression` makes of the tables (in their order) and the arguments, computed by Spark.

    Raises what `session` does.
    """
    import ibis

    with session() as active:
        return ibis.pyspark.connect(active).to_pandas(expression(*map(ibis.memtable, tables.values()), *arguments))


def missing() -> str | None:
    """What Spark needs and is not here, with what brings it; None where all is."""
    if find_spec("pyspark") is None:
        return 'PySpark is not installed here; it comes with `pip install "vindima[spark]"`'
    home = os.environ.get("JAVA_HOME")
    if shutil.which("java", path=str(Path(home) / "bin") if home else None) is None:
        where = f"in JAVA_HOME ({home})" if home else "on the PATH"
        return f"expected Java 17 or newer (Debian: openjdk-17-jre-headless), there is none {where}"
    return None


def _started(master: str) -> "SparkSession":
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    if master.startswith("spark://"):
        reach(master)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else the workers take any python3
    builder = SparkSession.builder.master(master).appName("vindima")
    quiet = {"spark.log.level": "ERROR", "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"}
    for name, value in quiet.items():
        builder = builder.config(name, value)
    try:
        made = builder.config("spark.sql.execution.arrow.pyspark.enabled", "true").getOrCreate()
    except PySparkRuntimeError as error:
        raise VindimaError(f"Spark did not start; it needs Java 17 or newer ({_in_a_line(error)})") from error
    if not master.startswith("local"):
        _wait_for_a_worker(made, master)
    return made


def reach(master: str) -> None:
    """Raise VindimaError unless one of the machines of a `spark://host:port,host:port` takes connections.

    Spark itself would try for minutes.
    """
    for place in master.removeprefix("spark://").split(","):
        host, _, port = place.rpartition(":")
        try:
            socket.create_connection((host, int(port)), SECONDS_TO_CONNECT).close()
            return
        except (OSError, ValueError) as error:  # a port that is no number is a ValueError
            why = error
    raise VindimaError(f"Spark: the master {master} (VINDIMA_SPARK) cannot be reached: {why}")


def _wait_for_a_worker(started: "SparkSession", master: str) -> None:
    """Give the cluster a task; Spark would wait for ever where no worker is free."""
    from py4j.protocol import Py4JError

    late = Timer(SECONDS_FOR_A_WORKER, started.sparkContext.cancelAllJobs)
    late.start()
    try:
        started.range(1).count()
    except Py4JError as error:
        started.stop()
        raise VindimaError(
            f"Spark: no worker of the master {master} (VINDIMA_SPARK) took a task within {SECONDS_FOR_A_WORKER} s"
        ) from error
    finally:
        late.cancel()


def _in_a_line(error: Exception) -> str:
    """What an error says, without Java's stack; py4j puts a line of its own before what Java said."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    from_java = lines[0].startswith("An error occurred while calling") and len(lines) > 1
    return lines[1].removeprefix(": ") if from_java else lines[0]
