"""A set on disk: whether it is whole, and how it is read whole while another takes its place.

The service reads a set through this module alone, so it imports nothing heavy.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from vindima.errors import VindimaError

FORMAT = 2
"""Of what a set holds; a set of another format was made by another version."""
LISTING = "set.json"
SERVICE = "service.sqlite"
"""The tables that the service answers from."""
TRIES = 20
"""How often a set that is replaced while it is read is read anew."""

Found = TypeVar("Found")


def list_files(folder: Path, names: Iterable[str]) -> None:
    """Write the listing of a set: the sha256 of each file of it."""
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    (folder / LISTING).write_text(json.dumps({"format": FORMAT, "files": files}), encoding="utf-8")


def read_whole(served: Path, read: Callable[[Path], Found]) -> Found:
    """What `read` makes of the folder of the set, from one set even while another takes its place.

    Raises VindimaError where there is no set, and what `read` raises.
    """
    for _ in range(TRIES):
        before = identity(served)
        folder = served if before else previous(served)
        if not folder.is_dir() and identity(served) == before:
            raise VindimaError(f"there is no set to serve in {served}: run `make`")
        try:
            found = read(folder)
        except VindimaError:
            if identity(served) == before:
                raise
        else:
            if identity(served) == before:
                return found
    raise VindimaError(f"{served} was replaced {TRIES} times while it was being read: try again")


def previous(served: Path) -> Path:
    """Where the set before is for an instant while `served` is replaced."""
    return served.with_name(f"{served.name}-previous")


def put_in_place(aside: Path, served: Path) -> None:
    """Put the folder `aside` in the place of `served`.

    A folder cannot be renamed onto a full one, so for an instant the old one is under its previous name;
    who reads a set looks there too, also after a switch that was interrupted.
    """
    before = previous(served)
    if served.exists():
        shutil.rmtree(before, ignore_errors=True)
        served.rename(before)
    aside.rename(served)
    shutil.rmtree(before, ignore_errors=True)


def identity(folder: Path) -> tuple[int, int] | None:
    """What tells one set from the next of the same name; None where there is none."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def service_tables(folder: Path, shown_as: Path) -> tuple[bytes, str]:
    """The file that the service answers from, and the sha256 of the listing, which names the set.

    Raises VindimaError where a file of the set is missing or another than was listed, or the set of another format.
    """
    try:
        written = (folder / LISTING).read_bytes()
        listed = json.loads(written)
        files, made_as = dict(listed["files"]), listed["format"]
    except FileNotFoundError:
        raise VindimaError(f"{LISTING} is missing in {shown_as}: run `make`") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise VindimaError(f"{LISTING} in {shown_as} is damaged ({error}): run `make`") from error
    if made_as != FORMAT or SERVICE not in files:
        raise VindimaError(f"the set in {shown_as} is of format {made_as}, expected {FORMAT}: run `make`")
    read = {}
    for name, digest in files.items():
        try:
            read[name] = (folder / name).read_bytes()
        except FileNotFoundError:
            raise VindimaError(f"{name} is missing in {shown_as}: run `make`") from None
        except OSError as error:
            raise VindimaError(f"{name} in {shown_as} cannot be read ({error.strerror}): run `make`") from error
        if hashlib.sha256(read[name]).hexdigest() != digest:
            raise VindimaError(f"{name} in {shown_as} is damaged (its sha256 is not the listed one): run `make`")
    return read[SERVICE], hashlib.sha256(written).hexdigest()
