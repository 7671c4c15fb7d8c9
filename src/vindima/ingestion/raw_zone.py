"""The raw zone: bytes as received, tables as JSON, and a manifest. Replaced whole or not at all.

files/<name as downloaded>   tables/<slug>.json   manifest.json

A collection is written into a draft beside it. A run that was stopped leaves its draft, and the next one from the
same source goes on with it.
"""

import hashlib
import json
import re
import shutil
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from filelock import FileLock, Timeout

from vindima.errors import VindimaError
from vindima.ingestion.catalogue import TABLES
from vindima.ingestion.parse import Note, PageRow, RawTable, Row
from vindima.ingestion.reply import Reply

FRESH_FOR = timedelta(hours=24)
"""How long what a stopped run received is taken without asking the source again."""


def entry(slug: str, reply: Reply, rows: Sequence[Row | PageRow], method: str, *notes: str) -> dict[str, Any]:
    """What the manifest says of a file that held `rows`; `method` is csv (a download) or pages (an HTML page)."""
    return {
        "slug": slug,
        **reply.record(),
        "rows": len(rows),
        "cells": sum(len(row.cells) for row in rows),
        "method": method,
        "notes": list(notes),
    }


@lru_cache(maxsize=4096)
def file_name(address: str) -> str:
    """'download/ImpVinhos.csv' → 'ImpVinhos.csv'; the address of a page → 'opt_05_subopt_01_2022.html'."""
    parts = urlsplit(address)
    name = PurePosixPath(parts.path).name
    if parts.query:
        name = "_".join(value[0] for value in parse_qs(parts.query).values()) + ".html"
    return re.sub(r"[^\w.-]|^\.+", "_", name, flags=re.ASCII)


def vintage(files: Sequence[Mapping[str, Any]]) -> str:
    """First 12 hexadecimal digits of the sha256 over the sorted lines `slug sha256` of a manifest's files."""
    lines = sorted(f"{file['slug']} {file['sha256']}" for file in files)
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()[:12]


class Draft:
    """A raw zone in the making, beside the one at `raw_dir`, which it replaces by `put_in_place` or never.

    With `resume` a draft that a stopped run from the same source left is gone on with; without, it is emptied. Use it
    as a context manager: it holds a lock, and raises VindimaError where another collection holds it. Its methods may
    be called from several threads.
    """

    def __init__(self, raw_dir: Path, source: str, resume: bool) -> None:
        self.folder = raw_dir.with_name(f".{raw_dir.name}-draft")
        self.refused = raw_dir.with_name(f"{raw_dir.name}-refused")
        self._raw_dir = raw_dir
        self._replaced = raw_dir.with_name(f".{raw_dir.name}-replaced")
        self._source = source
        self._resume = resume
        self._alone = FileLock(raw_dir.with_name(f".{raw_dir.name}.lock"), timeout=0)
        self._lock = threading.Lock()
        self._fresh: dict[str, dict[str, Any]] = {}
        self._stale: dict[str, dict[str, Any]] = {}
        self._before: dict[str, dict[str, Any]] = {}
        self._journal_path = self.folder / "received.jsonl"
        self._files: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self._raw_dir.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._alone.acquire()
        except Timeout:
            raise VindimaError(f"another collection is writing {self._raw_dir}: wait for it to end") from None
        # A run that was killed between the two renames of `put_in_place` left the old zone aside.
        if self._replaced.exists():
            if self._raw_dir.exists():
                shutil.rmtree(self._replaced)
            else:
                self._replaced.rename(self._raw_dir)
        lines = list(_lines(self._journal_path)) if self._resume else []
        if lines[:1] != [{"source": self._source}]:
            shutil.rmtree(self.folder, ignore_errors=True)
            lines = [{"source": self._source}]
        (self.folder / "files").mkdir(parents=True, exist_ok=True)
        (self.folder / "tables").mkdir(exist_ok=True)
        oldest = (datetime.now(UTC) - FRESH_FOR).isoformat()
        for record in lines[1:]:
            received = self._fresh if record["retrieved_at"] > oldest else self._stale
            received[record["address"]] = record
        rewritten = self._journal_path.with_suffix(".new")  # a kill may have cut its last line off
        rewritten.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
        rewritten.replace(self._journal_path)
        self._journal = self._journal_path.open("a", encoding="utf-8")
        if self._resume:
            self._before = _collected_before(self._raw_dir, self._source)
        return self

    def __exit__(self, *exception: object) -> None:
        self._journal.close()
        if not self._resume or not (self._fresh or self._stale):
            shutil.rmtree(self.folder, ignore_errors=True)
        self._alone.release()

    def fresh(self, address: str) -> Reply | None:
        """What this run received, or one that was stopped, in the last day; None for nothing, or damaged bytes."""
        return _stored(self._fresh.get(address), self.folder)

    def earlier(self, address: str) -> Reply | None:
        """What is on hand from before that, where the source gave a validator with it."""
        for records, folder in ((self._stale, self.folder), (self._before, self._raw_dir)):
            record = records.get(address, {})
            if ("etag" in record or "last_modified" in record) and (reply := _stored(record, folder)):
                return reply
        return None

    def keep(self, reply: Reply) -> None:
        """Write a reply that was found good, so that a run that goes on with this draft need not ask again."""
        (self.folder / "files" / file_name(reply.address)).write_bytes(reply.data)
        with self._lock:
            self._fresh[reply.address] = record = reply.record()
            self._journal.write(json.dumps(record) + "\n")
            self._journal.flush()

    def forget(self, replies: Iterable[Reply]) -> None:
        """Let what was received be asked for again."""
        for reply in replies:
            (self.folder / "files" / file_name(reply.address)).unlink(missing_ok=True)

    def add(self, table: RawTable, files: Sequence[dict[str, Any]]) -> None:
        """Write a table, and remember the manifest's entries of the files that it came from."""
        _write_json(self.folder / "tables" / f"{table.slug}.json", _table_to_json(table))
        self._files += files

    def complete(
        self,
        retrieved_at: str,
        disagreements: Sequence[Mapping[str, Any]] = (),
        revisions: Sequence[Mapping[str, Any]] = (),
    ) -> dict[str, Any]:
        """Write and return the manifest; files that no table came from are removed.

        Raises VindimaError where two addresses have one name.
        """
        files = sorted(self._files, key=lambda file: (file["slug"], file["address"]))
        names = Counter(file_name(file["address"]) for file in files)
        if twice := [name for name, times in names.items() if times > 1]:
            raise VindimaError(f"expected a name of its own for each file, got more than one {', '.join(twice)}")
        for path in (self.folder / "files").iterdir():
            if path.name not in names:
                path.unlink()
        manifest = {
            "vintage": vintage(files),
            "source": self._source,
            "retrieved_at": retrieved_at,
            "files": files,
            "disagreements": list(disagreements),
            "revisions": list(revisions),
        }
        _write_json(self.folder / "manifest.json", manifest)
        return manifest

    def put_in_place(self) -> None:
        """Replace the raw zone with this draft; the old zone survives any failure."""
        self._journal_path.unlink()
        if self._raw_dir.exists():
            self._raw_dir.rename(self._replaced)
        try:
            self.folder.rename(self._raw_dir)
        except OSError:
            if self._replaced.exists():
                self._replaced.rename(self._raw_dir)
            raise
        shutil.rmtree(self._replaced, ignore_errors=True)

    def put_aside(self) -> Path:
        """Keep this draft, complete but not accepted, in `refused` (in place of an earlier one), and return that."""
        self._journal_path.unlink()
        shutil.rmtree(self.refused, ignore_errors=True)
        self.folder.rename(self.refused)
        return self.refused


def read(raw_dir: Path) -> tuple[dict[str, Any], dict[str, RawTable]]:
    """The manifest and the tables of a raw zone, in the catalogue's order.

    Raises VindimaError where there is no raw zone, or where a table is missing or damaged.
    """
    return read_manifest(raw_dir), {slug: read_table(raw_dir, slug) for slug in TABLES}


def read_manifest(raw_dir: Path) -> dict[str, Any]:
    """The manifest of a raw zone. Raises VindimaError where there is none, or a damaged one."""
    if not (raw_dir / "manifest.json").is_file():
        raise VindimaError(f"there is no raw zone in {raw_dir}: run `vindima collect` first")
    return _read_json(raw_dir / "manifest.json")


def read_table(raw_dir: Path, slug: str) -> RawTable:
    """One table of a raw zone. Raises VindimaError where it is missing or damaged."""
    path = raw_dir / "tables" / f"{slug}.json"
    content = _read_json(path)
    try:
        return RawTable(
            slug=content["table"],
            title=content["title"],
            unit=content["unit"],
            years=content["years"],
            rows=[Row(**row) for row in content["rows"]],
            source=content["source"],
            notes=[Note(**note) for note in content["notes"]],
        )
    except (KeyError, TypeError) as error:
        raise VindimaError(f"{path}: expected a table of the raw zone, got {error}") from None


def _collected_before(raw_dir: Path, source: str) -> dict[str, dict[str, Any]]:
    """The files of the raw zone on hand by address; none where it is of another source, or damaged."""
    try:
        manifest = read_manifest(raw_dir)
    except VindimaError:
        return {}
    return {file["address"]: file for file in manifest["files"]} if manifest["source"] == source else {}


def _stored(record: Mapping[str, Any] | None, folder: Path) -> Reply | None:
    """The reply that a record tells of, with its bytes from `folder`; None where they are not what it says."""
    if record is None:
        return None
    names = ("address", "retrieved_at", "status", "etag", "last_modified")
    reply = Reply(**{name: record[name] for name in names if name in record}, data=b"")
    path = folder / "files" / file_name(reply.address)
    reply = replace(reply, data=path.read_bytes() if path.is_file() else b"")
    return reply if reply.sha256 == record["sha256"] else None


def _lines(journal: Path) -> Iterator[dict[str, Any]]:
    """The records of a journal; one that a kill cut off is left out."""
    if journal.is_file():
        for line in journal.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue


def _table_to_json(table: RawTable) -> dict[str, Any]:
    # `asdict` would copy every cell.
    rows = [
        {"row": row.row, "control": row.control, "label": row.label, "cells": row.cells}
        | ({"level": row.level} if row.level else {})
        for row in table.rows
    ]
    return {
        "table": table.slug,
        "title": table.title,
        "unit": table.unit,
        "years": table.years,
        "source": table.source,
        "rows": rows,
        "notes": [asdict(note) for note in table.notes],
    }


def _write_json(path: Path, content: object) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=1)
    path.write_text(f"{text}\n", encoding="utf-8", newline="\n")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise VindimaError(f"the raw zone is incomplete, there is no {path}: run `vindima collect`") from None
    except ValueError as error:
        raise VindimaError(f"{path}: expected JSON, got {error}") from None
