"""The raw zone: bytes as received, tables as JSON, and a manifest. Replaced whole or not at all.

files/<name as downloaded>   tables/<slug>.json   manifest.json
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, urlsplit

from vindima.errors import VindimaError
from vindima.ingestion.catalogue import TABLES
from vindima.ingestion.parse import Note, RawTable, Row


@dataclass(frozen=True)
class Received:
    """One answer of the source: its bytes, and what the manifest says about them.

    `address` is relative to the site; `method` is csv (a download) or pages (an HTML page).
    """

    slug: str
    address: str
    data: bytes
    retrieved_at: str
    status: int
    method: str
    rows: int
    cells: int
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """'download/ImpVinhos.csv' → 'ImpVinhos.csv'; a page → 'opt_05_subopt_01_2022.html'."""
        parts = urlsplit(self.address)
        if not parts.query:
            return PurePosixPath(parts.path).name
        return "_".join(value[0] for value in parse_qs(parts.query).values()) + ".html"

    def record(self) -> dict[str, Any]:
        """The manifest's entry for this file."""
        return {
            "slug": self.slug,
            "address": self.address,
            "retrieved_at": self.retrieved_at,
            "status": self.status,
            "sha256": hashlib.sha256(self.data).hexdigest(),
            "bytes": len(self.data),
            "rows": self.rows,
            "cells": self.cells,
            "method": self.method,
            "notes": self.notes,
        }


def vintage(files: Sequence[Mapping[str, Any]]) -> str:
    """First 12 hexadecimal digits of the sha256 over the sorted lines `slug sha256` of a manifest's files."""
    lines = sorted(f"{file['slug']} {file['sha256']}" for file in files)
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()[:12]


def write(
    raw_dir: Path,
    source: str,
    retrieved_at: str,
    files: Sequence[Received],
    tables: Mapping[str, RawTable],
) -> dict[str, Any]:
    """Replace the raw zone at `raw_dir` and return its manifest; the old one survives any failure."""
    ordered = sorted(files, key=lambda file: (file.slug, file.address))
    records = [file.record() for file in ordered]
    manifest = {
        "vintage": vintage(records),
        "source": source,
        "retrieved_at": retrieved_at,
        "files": records,
    }
    raw_dir.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{raw_dir.name}-", dir=raw_dir.parent))
    try:
        new, old = work / "new", work / "old"
        (new / "files").mkdir(parents=True)
        (new / "tables").mkdir()
        for file in ordered:
            (new / "files" / file.name).write_bytes(file.data)
        for slug, table in tables.items():
            _write_json(new / "tables" / f"{slug}.json", _table_to_json(table))
        _write_json(new / "manifest.json", manifest)
        if raw_dir.exists():
            raw_dir.rename(old)
        try:
            new.rename(raw_dir)
        except OSError:
            if old.exists():
                old.rename(raw_dir)
            raise
    finally:
        shutil.rmtree(work)
    return manifest


def read(raw_dir: Path) -> tuple[dict[str, Any], dict[str, RawTable]]:
    """The manifest and the tables of a raw zone, in the catalogue's order.

    Raises VindimaError where there is no raw zone, or where a table is missing or damaged.
    """
    if not (raw_dir / "manifest.json").is_file():
        raise VindimaError(f"there is no raw zone in {raw_dir}: run `vindima collect` first")
    manifest = _read_json(raw_dir / "manifest.json")
    return manifest, {slug: _read_table(raw_dir / "tables" / f"{slug}.json") for slug in TABLES}


def _table_to_json(table: RawTable) -> dict[str, Any]:
    rows = [
        {name: value for name, value in asdict(row).items() if (name, value) != ("level", None)} for row in table.rows
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


def _read_table(path: Path) -> RawTable:
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
