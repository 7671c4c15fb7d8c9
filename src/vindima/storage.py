"""The storage: where a project that has no disk of its own is kept between its runs. VINDIMA_STORAGE says where.

{storage}/lake/…           each collection, as a dated snapshot (`ingestion.lake`)
{storage}/dvc/…            the DVC remote
{storage}/project.tar.gz   what Git would keep of a run: dvc.lock, the outputs that DVC does not, published forecasts
{storage}/model.tar.gz     the set that is served, as SageMaker unpacks a model; the service takes it from here
{storage}/users.sqlite     users and signing keys, for services whose disk does not last
{storage}/run.lock         who runs, while one does

A storage is a folder or a bucket's address, as a lake is. Each archive is one object, written whole after all that it
names: who reads meanwhile has the one before.
"""

import io
import json
import os
import shutil
import socket
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from vindima import paths, runs
from vindima.errors import VindimaError
from vindima.ingestion.lake import Place
from vindima.serving import auth, sets

PROJECT, MODEL, USERS, LOCK = "project.tar.gz", "model.tar.gz", "users.sqlite", "run.lock"


class Storage:
    """The storage at an address; what fails there is one sentence, a VindimaError."""

    def __init__(self, address: str) -> None:
        folder = "://" not in address
        self.address = str(Path(address).resolve()) if folder else address.rstrip("/")
        self._place = Place(self.address, "storage")

    @property
    def lake(self) -> str:
        """The address of its lake."""
        return f"{self.address}/lake"

    @property
    def remote(self) -> str:
        """The address of its DVC remote."""
        return f"{self.address}/dvc"

    @contextmanager
    def held(self, minutes: float) -> Iterator[None]:
        """While a run of at most `minutes` lasts, it is the only one; raises runs.Busy where there is another.

        One that its machine has lost is over an hour after its time.
        """
        until = datetime.now(UTC) + timedelta(minutes=minutes + 60)
        mine = {
            "process": os.getpid(), "host": socket.gethostname(), "state": "running", "stage": None,
            "started_at": runs.now(), "until": until.isoformat(),
        }  # fmt: skip
        content = json.dumps(mine).encode()
        if not self._place.create(LOCK, content):
            other = json.loads(self._place.read(LOCK))
            if datetime.fromisoformat(other["until"]) > datetime.now(UTC):
                raise runs.Busy(other)
            self._place.put_small(LOCK, content)
        try:
            yield
        finally:
            self._place.remove(LOCK)

    def restore(self, root: Path) -> bool:
        """Whether there was a project, which now takes the place of what an image brought into the folder `root`."""
        if PROJECT not in self._place.sizes():
            return False
        self._unpack(PROJECT, root, ["dvc.lock", *kept_by_git(root)])
        return True

    def keep(self, root: Path) -> None:
        """Keep what the run has left in `root`; the DVC remote has the rest by then."""
        self._pack(PROJECT, root, ["dvc.lock", *kept_by_git(root)])

    def keep_set(self, served: Path) -> None:
        """Keep the set, for the services that read it from here."""
        self._pack(MODEL, served, sorted(path.name for path in served.iterdir()))

    def has_set(self) -> bool:
        """Whether a set is kept."""
        return MODEL in self._place.sizes()

    def fetch_set(self, served: Path) -> bool:
        """Whether the set that is kept is another than that in `served`, whose place it then has taken.

        It is checked before it does. Raises VindimaError, and leaves the set as it was, where there is none or it is
        damaged; a damaged one in `served` is another.
        """
        if not self.has_set():
            raise VindimaError(f"{self._place.address}: there is no {MODEL} yet: a `vindima run` leaves one")
        served.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f"{served.name}-", dir=served.parent))
        try:
            aside.chmod(0o755)
            self._unpack(MODEL, aside, None)
            _, found = sets.service_tables(aside, shown_as=aside)
            with suppress(VindimaError):
                if (served / sets.LISTING).is_file() and sets.service_tables(served, shown_as=served)[1] == found:
                    return False
            sets.put_in_place(aside, served)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return True

    def keep_users(self, users: Path) -> None:
        """Keep the file of users, for the services that take it from here."""
        self._place.put_small(USERS, auth.content(users))

    def fetch_users(self, users: Path) -> bool:
        """Whether users are kept, which then are those in the file `users`; VindimaError where they are damaged."""
        if USERS not in self._place.sizes():
            return False
        auth.replace(users, self._place.read(USERS))
        return True

    def _pack(self, name: str, folder: Path, names: Iterable[str]) -> None:
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz") as archive:
            for one in names:
                if (folder / one).exists():
                    archive.add(folder / one, one)
        self._place.put_small(name, content.getvalue())

    def _unpack(self, name: str, folder: Path, allowed: list[str] | None) -> None:
        """Unpack an archive aside, then put each of what it names in place; `allowed` is all that it may name."""
        with tempfile.TemporaryDirectory(prefix=".storage-", dir=folder) as draft:
            try:
                with tarfile.open(fileobj=io.BytesIO(self._place.read(name)), mode="r:gz") as archive:
                    archive.extractall(draft, filter="data")
            except (tarfile.TarError, EOFError, OSError) as error:
                raise VindimaError(f"{self._place.address}, {name}: it is damaged ({error})") from error
            for place in allowed if allowed is not None else [path.name for path in Path(draft).iterdir()]:
                if not (Path(draft) / place).exists():
                    continue
                target = folder / place
                shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
                target.parent.mkdir(parents=True, exist_ok=True)
                (Path(draft) / place).rename(target)


def of_environment() -> Storage | None:
    """The storage that VINDIMA_STORAGE names; None where it names none."""
    address = os.environ.get("VINDIMA_STORAGE")
    return Storage(address) if address else None


def kept_by_git(root: Path) -> list[str]:
    """What a run changes and DVC does not keep: outputs with `cache: false`, and published forecasts."""
    stages = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    listed = [stage.get(kind, []) for stage in stages.values() for kind in ("outs", "metrics", "plots")]
    told = [item for outputs in listed for one in outputs if isinstance(one, dict) for item in one.items()]
    named = [name for name, how in told if how.get("cache") is False]
    return [*named, str(paths.PUBLISHED.relative_to(paths.ROOT))]
