"""Micro-data summed in AWS Glue, by `vindima microdata --engine spark`'s own functions, from a bucket into a bucket.

    glue_job.py --input s3://bucket/folder --output s3://bucket/folder

Every file of the first folder whose name ends in .parquet is read, by Spark; `monthly.parquet` and `yearly.parquet`
are written to the second. Addresses may be of any kind that fsspec and Spark both know, such as `file:///folder`.
"""

import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO, cast

import fsspec
from fsspec import AbstractFileSystem
from pyspark.sql import SparkSession

from vindima.etl import microdata


class Stored:
    """A file at an address, as far as `vindima.etl.microdata` asks a path for what it is."""

    def __init__(self, files: AbstractFileSystem, path: str) -> None:
        self._files, self._path = files, path
        self.name, self.suffix = PurePosixPath(path).name, PurePosixPath(path).suffix

    def __str__(self) -> str:
        return str(self._files.unstrip_protocol(self._path))

    def is_file(self) -> bool:
        return bool(self._files.isfile(self._path))

    def open(self, mode: str) -> IO[bytes]:
        return self._files.open(self._path, mode)


def run(source: str, target: str) -> str:
    """What was summed, in lines for the log. Raises what `microdata.run` does."""
    files, folder = fsspec.url_to_fs(source)
    lines = [Stored(files, path) for path in sorted(files.glob(f"{folder.rstrip('/')}/*.parquet"))]
    SparkSession.builder.appName("vindima").getOrCreate()  # Glue's own, which `vindima.etl.spark` then uses
    with tempfile.TemporaryDirectory() as made:
        tables = microdata.run(cast(Sequence[Path], lines), Path(made), engine="spark")
        to, place = fsspec.url_to_fs(target)
        to.makedirs(place, exist_ok=True)
        for path in sorted(Path(made).glob("*.parquet")):
            to.put_file(str(path), f"{place.rstrip('/')}/{path.name}")
    return microdata.summary(tables["monthly"])


def main(arguments: Sequence[str]) -> None:
    """Glue gives arguments of its own beside those that are the job's, such as --JOB_NAME."""
    parser = ArgumentParser(allow_abbrev=False)
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", required=True)
    ours, _ = parser.parse_known_args(arguments)
    print(run(ours.input, ours.output))


if __name__ == "__main__":
    main(sys.argv[1:])
