"""The lake: each collection as a dated snapshot, in a folder or in a bucket.

{lake}/{retrieved_at}-{vintage}/manifest.json   files/<name as downloaded>   tables/<slug>.json

A lake is a folder, `s3://bucket/prefix`, `gs://bucket/prefix`, or whatever else fsspec knows. Its endpoint and its
credentials come from the environment, under the names that the library of its protocol gives them. The manifest is
written last: a snapshot is complete where it has one. Nothing is ever deleted from a bucket.
"""

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from vindima import files
from vindima.errors import VindimaError
from vindima.ingestion import raw_zone

PATIENCE = 60
"""Seconds that one request to a bucket, its library's retries and the files of one batch included, may take."""

BATCH = 16
"""Files that travel at once, so that memory does not grow with a collection."""

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
MANIFEST = "manifest.json"
PROBE = ".probe"
NAME = re.compile(r"(\d{4}-\d{2}-\d{2}|\d{8}T\d{6}Z)-[0-9a-f]{12}")


def write_snapshot(zone: Path, lake: str, manifest: Mapping[str, Any]) -> str:
    """Copy the complete raw zone `zone`, which `manifest` describes, into the lake; the snapshot's address.

    '2025-01-19' and '2026-11-23T21:56:05+00:00' become `2025-01-19-<vintage>` and `20261123T215605Z-<vintage>`. A
    snapshot that is there and equal is left alone, any other of that name is written anew. Raises VindimaError where
    the zone is incomplete or the lake cannot be reached or written.
    """
    address = f"{lake.rstrip('/')}/{_name(manifest)}"
    names = [*_names(manifest, str(zone)), MANIFEST]
    for name in names:
        if not (zone / name).is_file():
            raise VindimaError(f"the raw zone is incomplete, there is no {zone / name}: run `vindima collect`")
    place = Place(address)
    there = place.sizes()
    same_sizes = all(there.get(name) == (zone / name).stat().st_size for name in names)
    if not same_sizes or place.read(MANIFEST) != (zone / MANIFEST).read_bytes():
        place.put(zone, names)
    return address


def addresses(lake: str) -> list[str]:
    """The complete snapshots of a lake, oldest first; none where there is no such folder.

    Raises VindimaError where the lake cannot be reached or read.
    """
    parts = [name.split("/") for name in Place(lake).sizes()]
    found = {name for name, *rest in parts if rest == [MANIFEST] and NAME.fullmatch(name)}
    # A day is written with hyphens, a moment without: the digits alone sort by time.
    return [f"{lake.rstrip('/')}/{name}" for name in sorted(found, key=lambda name: name.replace("-", ""))]


def probe(lake: str) -> None:
    """Write a small file, `.probe`, into the lake, where it stays.

    Raises VindimaError where the lake cannot be reached or written, or is a folder that is not there.
    """
    place = Place(lake)
    if isinstance(place.fs, LocalFileSystem) and not Path(place.path).is_dir():
        raise VindimaError(f"{place.address}: there is no such folder")
    place.put_small(PROBE, b"This lake can be written.\n")


def fetch(address: str, folder: Path) -> str:
    """Copy a snapshot, or the newest one of a lake, into a new `folder`; the address of what was copied.

    `folder` is then a raw zone, which `raw_zone.read` reads. Raises VindimaError where there is no complete snapshot,
    `folder` is not empty, or a file is not the one that the manifest tells of; then there is no folder.
    """
    if not NAME.fullmatch(address.rstrip("/").rpartition("/")[2]):
        complete = addresses(address)
        if not complete:
            raise VindimaError(f"{_public(address)}: expected a lake with a complete snapshot, got none")
        address = complete[-1]
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise VindimaError(f"{folder}: expected a new folder for the snapshot, got one that is not empty")
    place = Place(address)
    there = place.sizes()
    if MANIFEST not in there:
        raise VindimaError(f"{place.address}: expected a complete snapshot, got no {MANIFEST}")
    try:
        manifest = json.loads(place.read(MANIFEST))
        names = _names(manifest, place.address)
        expected = {_file(file): file["sha256"] for file in manifest["files"]}
    except (ValueError, KeyError, TypeError) as error:
        raise VindimaError(f"{place.address}, {MANIFEST}: expected that of a raw zone, got {error!r}") from None
    if lost := [name for name in names if name not in there]:
        raise VindimaError(f"{place.address}: expected a complete snapshot, got no {', '.join(lost)}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as draft:
        zone = Path(draft) / "zone"
        place.get([*names, MANIFEST], zone)
        for name, known in expected.items():
            with (zone / name).open("rb") as content:
                sha256 = hashlib.file_digest(content, "sha256").hexdigest()
            if sha256 != known:
                raise VindimaError(f"{place.address}, {name}: expected sha256 {known}, got {sha256}")
        if folder.exists():
            folder.rmdir()
        zone.rename(folder)
    return address


class Place:
    """A folder or a prefix in a bucket; what fails there is said in one sentence, as a VindimaError.

    `kind` is what the sentence calls it.
    """

    def __init__(self, address: str, kind: str = "lake") -> None:
        self.address, self.kind = _public(address), kind
        scheme = re.match(r"\w{2,}:(//.)?", address)
        if scheme and not scheme[1]:
            raise VindimaError(
                f"{self.address}: expected a {kind} such as a folder, s3://bucket/prefix or gs://bucket/prefix"
            )
        protocol = address.partition("://")[0]
        try:
            self.fs, path = fsspec.url_to_fs(address)
        except ImportError as error:
            extra = EXTRAS.get(protocol)
            remedy = f'run `pip install "vindima[{extra}]"`' if extra else _reason(error)
            raise VindimaError(f"{self.address}: the library that reads {protocol}:// is missing: {remedy}") from None
        except Exception as error:
            raise VindimaError(f"{self.address}: the {kind} cannot be used: {_reason(error)}") from error
        self.path = path.rstrip("/")
        # gcsfs logs what it raises, with the traceback, which Python prints where nobody set up logging.
        log = logging.getLogger(type(self.fs).__module__.partition(".")[0])
        if not log.handlers:
            log.addHandler(logging.NullHandler())

    def sizes(self) -> dict[str, int]:
        """The bytes of each file, by name relative to here; none where there is no such folder."""
        found = self._call("find", self.path, detail=True)
        return {name.removeprefix(f"{self.path}/"): file["size"] for name, file in found.items()}

    def read(self, name: str) -> bytes:
        """The bytes of a small file."""
        return self._call("cat_file", f"{self.path}/{name}")

    def put_small(self, name: str, content: bytes) -> None:
        """Write a small file here, whole or not at all."""
        if isinstance(self.fs, LocalFileSystem):
            try:
                files.write(Path(self.path, name), content)
            except OSError as error:
                raise VindimaError(f"{self.address}: the {self.kind} cannot be written: {_reason(error)}") from error
            return
        self._call("pipe_file", f"{self.path}/{name}", content)

    def create(self, name: str, content: bytes) -> bool:
        """Whether the small file was not there, and so was written; of two who try at once one has it."""
        try:
            if isinstance(self.fs, LocalFileSystem):
                Path(self.path).mkdir(parents=True, exist_ok=True)
                with Path(self.path, name).open("xb") as file:
                    file.write(content)
            elif name in self.sizes():
                return False
            else:
                self._call("pipe_file", f"{self.path}/{name}", content, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            raise VindimaError(f"{self.address}: the {self.kind} cannot be written: {_reason(error)}") from error
        return True

    def remove(self, name: str) -> None:
        """Remove a small file; that it is gone already is no error."""
        if name in self.sizes():
            self._call("rm_file", f"{self.path}/{name}")

    def put(self, zone: Path, names: Sequence[str]) -> None:
        """Write the files `names` of a local folder here, the last of them after all others are there."""
        if isinstance(self.fs, LocalFileSystem):
            self._put_locally(zone, names)
        else:
            for batch in (*_batches(names[:-1]), names[-1:]):
                self._call("put", [str(zone / name) for name in batch], [f"{self.path}/{name}" for name in batch])

    def get(self, names: Sequence[str], folder: Path) -> None:
        """Read the files `names` into a local folder."""
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        for batch in _batches(names):
            self._call("get", [f"{self.path}/{name}" for name in batch], [str(folder / name) for name in batch])

    def _put_locally(self, zone: Path, names: Sequence[str]) -> None:
        target = Path(self.path)
        draft = target.with_name(f".{target.name}-draft")
        try:
            if draft.exists():
                shutil.rmtree(draft)
            for name in names:
                (draft / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(zone / name, draft / name)
            if target.exists():
                shutil.rmtree(target)
            draft.rename(target)
        except OSError as error:
            raise VindimaError(f"{self.address}: the {self.kind} cannot be written: {_reason(error)}") from error

    def _call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        if self.fs.async_impl:
            kwargs["timeout"] = PATIENCE
        try:
            return getattr(self.fs, method)(*args, **kwargs)
        except FileExistsError:
            raise
        except FileNotFoundError as error:
            missing = "there is no such bucket, or a file of it is gone"
            raise VindimaError(f"{self.address}: the {self.kind} cannot be used: {missing}") from error
        except TimeoutError as error:
            raise VindimaError(f"{self.address}: the {self.kind} did not answer within {PATIENCE} seconds") from error
        except Exception as error:
            raise VindimaError(f"{self.address}: the {self.kind} cannot be used: {_reason(error)}") from error


def _name(manifest: Mapping[str, Any]) -> str:
    """The name of a raw zone's snapshot; VindimaError for a manifest that gives none."""
    moment = manifest["retrieved_at"]
    if len(moment) > len("2025-01-19"):
        moment = datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    name = f"{moment}-{manifest['vintage']}"
    if not NAME.fullmatch(name):
        raise VindimaError(f"{MANIFEST}: expected a time and a vintage that name a snapshot, got {name!r}")
    return name


def _file(file: Mapping[str, Any]) -> str:
    return f"files/{raw_zone.file_name(file['address'])}"


def _names(manifest: Mapping[str, Any], where: str) -> list[str]:
    """The files and tables of a raw zone, by the manifest; VindimaError for a name that leads out of its folder."""
    files = manifest["files"]
    names = [*map(_file, files), *(f"tables/{slug}.json" for slug in sorted({file["slug"] for file in files}))]
    for name in names:
        if not re.fullmatch(r"(files|tables)/\w[\w.-]*", name, flags=re.ASCII):
            raise VindimaError(f"{where}, {MANIFEST}: expected names of files and tables, got {name!r}")
    return names


def _batches(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[start : start + BATCH] for start in range(0, len(names), BATCH))


def _reason(error: Exception) -> str:
    """What an error says, in one line of decent length."""
    return _public(" ".join(str(error).split()) or type(error).__name__)[:300]


def _public(text: str) -> str:
    """The text without what an address in it may hold as a secret: 's3://key:secret@bucket?sig=1' → 's3://bucket'."""
    return re.sub(r"\?[^\s'\"]*", "", re.sub(r"(\w+://)?\S*:\S*@", r"\1", text))
