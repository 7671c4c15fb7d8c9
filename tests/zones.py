"""A raw zone written for a test."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vindima.ingestion import raw_zone
from vindima.ingestion.parse import RawTable
from vindima.ingestion.raw_zone import Draft
from vindima.ingestion.reply import Reply

DAY = "2025-01-19"


def write_zone(
    raw_dir: Path, files: Sequence[tuple[str, Reply]], tables: Mapping[str, RawTable], source: str = "mirror"
) -> dict[str, Any]:
    """Write `tables`, and each file as that of one row with two cells; return the manifest."""
    with Draft(raw_dir, source, resume=False) as draft:
        for _, reply in files:
            draft.keep(reply)
        for slug, table in tables.items():
            entries = [
                raw_zone.entry(slug, reply, table.rows[:1], "pages" if "?" in reply.address else "csv")
                for of, reply in files
                if of == slug
            ]
            draft.add(table, entries)
        manifest = draft.complete(DAY)
        draft.put_in_place()
    return manifest


def snapshot(folder: Path) -> dict[str, bytes]:
    """The bytes of every file below `folder`, but for locks."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }
