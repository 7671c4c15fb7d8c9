"""The tables of a vintage, wherever it is kept."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from vindima.errors import VindimaError
from vindima.ingestion import figures, lake, parse, raw_zone
from vindima.ingestion.catalogue import TABLES
from vindima.ingestion.parse import RawTable


@dataclass(frozen=True)
class Vintage:
    """The tables that are kept at `address`; `retrieved_at` is a day, a moment, or None where that is not known."""

    address: str
    retrieved_at: str | None
    tables: dict[str, RawTable]

    def __str__(self) -> str:
        """'data/figures (2025-01-19)'."""
        return f"{self.address} ({self.retrieved_at})" if self.retrieved_at else self.address


def read(address: str) -> Vintage:
    """The vintage in a raw zone, a snapshot, a lake (its newest), bundled figures, or a folder of downloads.

    A folder of downloads holds some of the 15 files under the names that the site gives them; of the others it has no
    table. Raises VindimaError for any other address, and for what is incomplete or cannot be read.
    """
    folder = Path(address)
    if "://" not in address:
        if (folder / "manifest.json").is_file():
            return _raw_zone(address, folder)
        if (folder / figures.CELLS).is_file():
            bundled = figures.read(folder)
            return Vintage(address, bundled.retrieved_on, bundled.raw_tables)
        if downloads := {slug: path for slug in TABLES if (path := _download(folder, slug)).is_file()}:
            tables = {slug: parse.read_download(path.read_bytes(), TABLES[slug]) for slug, path in downloads.items()}
            return Vintage(address, None, tables)
        if not folder.is_dir() or not lake.addresses(address):
            got = "none of these" if folder.is_dir() else "no folder"
            raise VindimaError(
                f"{address}: expected a raw zone (manifest.json), a snapshot or a lake, bundled figures "
                f"({figures.CELLS}, {figures.DESCRIPTIONS}, {figures.FOOTNOTES}) or downloads (such as "
                f"{_download(Path(), 'imports_table_wine')}), got {got}"
            )
    with TemporaryDirectory() as scratch:
        return _raw_zone(lake.fetch(address, Path(scratch) / "raw"), Path(scratch) / "raw")


def _raw_zone(address: str, folder: Path) -> Vintage:
    manifest, tables = raw_zone.read(folder)
    return Vintage(address, manifest["retrieved_at"], tables)


def _download(folder: Path, slug: str) -> Path:
    return folder / f"{TABLES[slug].download}.csv"
