import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import requests
from werkzeug.wrappers import Response

from tests.emulators import BUCKET, Emulator, free_port
from tests.zones import snapshot, write_zone
from vindima.errors import VindimaError
from vindima.ingestion import lake, mirror, raw_zone
from vindima.ingestion.catalogue import TABLES
from vindima.ingestion.parse import RawTable, Row
from vindima.ingestion.reply import Reply

CLOUD_VARIABLES = ("AWS_", "STORAGE_EMULATOR_", "GOOGLE_", "GCSFS_", "DVC_")


@pytest.fixture
def zone(tmp_path: Path) -> Path:
    """A complete raw zone of all tables, of the day 2025-01-19."""
    rows = [Row(1, None, "País", ["1", "nd"])]
    write_zone(
        tmp_path / "raw",
        [(slug, Reply(table.download_path, f"Id;{slug}\n".encode(), "2025-01-19")) for slug, table in TABLES.items()],
        {slug: RawTable(slug, "Título", "L", [2022, 2023], rows, f"download/{slug}") for slug in TABLES},
    )
    return tmp_path / "raw"


@pytest.fixture
def memory_lake(tmp_path: Path) -> Iterator[str]:
    """A lake in a store that is no folder, and needs no server."""
    path = f"memory://{tmp_path.name}"
    yield path
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def bucket_lake(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty lake in a bucket of each emulator, which the environment leads to."""
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    return f"{emulator.protocol}://{BUCKET}/{tmp_path.name}"


def write(zone: Path, address: str, **changes: object) -> str:
    """Write the zone, with `changes` of its manifest, into the lake at `address`."""
    manifest = raw_zone.read_manifest(zone) | changes
    if changes:
        (zone / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return lake.write_snapshot(zone, address, manifest)


def content(address: str) -> dict[str, bytes]:
    """The bytes of every file at an address, by its name relative to that."""
    fs, path = fsspec.url_to_fs(address)
    return {name.removeprefix(f"{path}/"): fs.cat_file(name) for name in fs.find(path)}


def remove(address: str) -> None:
    fs, path = fsspec.url_to_fs(address)
    fs.rm_file(path)


def environment(**variables: str) -> dict[str, str]:
    """This process's environment with nothing of a cloud in it but `variables`."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(CLOUD_VARIABLES)}
    return plain | {"AWS_EC2_METADATA_DISABLED": "true", "NO_GCE_CHECK": "true"} | variables


def refusal(address: str, before: str = "", **variables: str) -> str:
    """All that a new process prints, on both streams, when it lists the lake with warnings as errors."""
    program = f"""
import sys
from vindima.errors import VindimaError
from vindima.ingestion import lake
{before}
try:
    lake.addresses(sys.argv[1])
except VindimaError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, address],
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout.removesuffix("\n")


def test_a_day_and_a_moment_name_the_snapshot(zone, tmp_path):
    vintage = raw_zone.read_manifest(zone)["vintage"]
    into = str(tmp_path / "lake")
    assert write(zone, into) == f"{into}/2025-01-19-{vintage}"
    assert write(zone, f"{into}/", retrieved_at="2026-11-23T18:56:05-03:00") == f"{into}/20261123T215605Z-{vintage}"


@pytest.mark.parametrize("vintage", ["../../../raw", "", "0123456789AB"])
def test_a_vintage_that_is_none_names_no_snapshot(zone, tmp_path, vintage):
    with pytest.raises(
        VindimaError, match=r"^manifest\.json: expected a time and a vintage that name a snapshot, got"
    ):
        write(zone, str(tmp_path / "lake"), vintage=vintage)
    assert not (tmp_path / "lake").exists()


def test_a_folder_holds_the_zone_and_nothing_else(zone, tmp_path):
    (zone / "received.jsonl").write_text("a journal", encoding="utf-8")
    address = write(zone, str(tmp_path / "lake"))
    (zone / "received.jsonl").unlink()
    assert snapshot(Path(address)) == snapshot(zone)
    assert [path.name for path in (tmp_path / "lake").iterdir()] == [Path(address).name]


def test_a_snapshot_that_is_there_is_left_alone(zone, tmp_path):
    address = Path(write(zone, str(tmp_path / "lake")))
    before = {path: path.stat().st_mtime_ns for path in (address, *address.rglob("*"))}
    assert lake.write_snapshot(zone, str(tmp_path / "lake"), raw_zone.read_manifest(zone)) == str(address)
    assert {path: path.stat().st_mtime_ns for path in (address, *address.rglob("*"))} == before


@pytest.mark.parametrize("lost", ["manifest.json", "tables/sales.json"])
@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_half_a_snapshot_is_completed(zone, tmp_path, memory_lake, kind, lost):
    address = write(zone, memory_lake if kind == "memory" else str(tmp_path / "lake"))
    remove(f"{address}/{lost}")
    write(zone, address.rpartition("/")[0])
    assert content(address) == snapshot(zone)


def test_a_snapshot_of_other_tables_from_the_same_bytes_is_replaced(zone, tmp_path):
    address = write(zone, str(tmp_path / "lake"))
    (zone / "tables" / "sales.json").write_text("{}", encoding="utf-8")
    write(zone, str(tmp_path / "lake"), disagreements=["one"])
    assert content(address) == snapshot(zone)


def test_a_stopped_copy_leaves_no_snapshot_in_a_folder(zone, tmp_path, monkeypatch):
    copy = shutil.copyfile

    def copy_until_the_manifest(source: Path, target: Path) -> None:
        if source.name == "manifest.json":
            raise KeyboardInterrupt
        copy(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", copy_until_the_manifest)
        with pytest.raises(KeyboardInterrupt):
            write(zone, str(tmp_path / "lake"))
    assert lake.addresses(str(tmp_path / "lake")) == []
    address = write(zone, str(tmp_path / "lake"))
    assert [path.name for path in (tmp_path / "lake").iterdir()] == [Path(address).name]
    assert content(address) == snapshot(zone)


def test_a_stopped_copy_leaves_no_snapshot_in_a_store(zone, memory_lake, monkeypatch):
    store = type(fsspec.filesystem("memory"))
    put = store.put_file
    names = []

    def put_until_the_last(self, source: str, target: str, **options: object) -> None:
        names.append(source.removeprefix(f"{zone}/"))
        if len(names) == len(snapshot(zone)):
            raise KeyboardInterrupt
        put(self, source, target, **options)

    with monkeypatch.context() as patch:
        patch.setattr(store, "put_file", put_until_the_last)
        with pytest.raises(KeyboardInterrupt):
            write(zone, memory_lake)
    assert names[-1] == "manifest.json"
    assert lake.addresses(memory_lake) == []
    assert content(write(zone, memory_lake)) == snapshot(zone)


def test_an_incomplete_zone_is_not_copied(zone, tmp_path):
    (zone / "files" / "ImpVinhos.csv").unlink()
    with pytest.raises(VindimaError, match=r"^the raw zone is incomplete, there is no .*ImpVinhos\.csv"):
        write(zone, str(tmp_path / "lake"))
    assert not (tmp_path / "lake").exists()


def test_snapshots_are_listed_oldest_first_and_only_complete_ones(zone, tmp_path):
    into = str(tmp_path / "lake")
    assert lake.addresses(into) == []
    newest = write(zone, into, retrieved_at="2025-02-01T00:00:00+00:00")
    middle = write(zone, into, retrieved_at="2025-01-20")
    oldest = write(zone, into, retrieved_at="2025-01-19T23:59:59+00:00")
    remove(write(zone, into, retrieved_at="2024-01-01") + "/manifest.json")
    for other in ("notes", "2023-01-01-0123456789ab/nested"):
        (tmp_path / "lake" / other).mkdir(parents=True)
        (tmp_path / "lake" / other / "manifest.json").write_text("{}", encoding="utf-8")
    assert lake.addresses(into) == [oldest, middle, newest]


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_a_fetched_snapshot_is_a_raw_zone(zone, tmp_path, memory_lake, kind):
    address = write(zone, memory_lake if kind == "memory" else str(tmp_path / "lake"))
    assert lake.fetch(address, tmp_path / "fetched") == address
    assert snapshot(tmp_path / "fetched") == snapshot(zone)
    assert raw_zone.read(tmp_path / "fetched") == raw_zone.read(zone)


def test_a_lake_gives_its_newest_snapshot(zone, tmp_path):
    into = str(tmp_path / "lake")
    newest = write(zone, into)
    write(zone, into, retrieved_at="2024-12-31T00:00:00+00:00")
    (tmp_path / "fetched").mkdir()
    assert lake.fetch(into, tmp_path / "fetched") == newest
    assert raw_zone.read_manifest(tmp_path / "fetched")["retrieved_at"] == "2025-01-19"


@pytest.mark.parametrize("name", ["", "/2025-01-19-0123456789ab"])
def test_what_is_no_complete_snapshot_is_not_fetched(tmp_path, name):
    with pytest.raises(VindimaError, match=r"expected a .*complete snapshot, got no"):
        lake.fetch(f"{tmp_path / 'lake'}{name}", tmp_path / "fetched")
    assert list(tmp_path.iterdir()) == []


def test_a_snapshot_that_lost_a_table_is_not_fetched(zone, tmp_path):
    address = write(zone, str(tmp_path / "lake"))
    remove(f"{address}/tables/sales.json")
    with pytest.raises(VindimaError, match=r"expected a complete snapshot, got no tables/sales\.json$"):
        lake.fetch(address, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


def test_a_folder_with_something_in_it_is_not_fetched_into(zone, tmp_path):
    address = write(zone, str(tmp_path / "lake"))
    before = snapshot(zone)
    with pytest.raises(VindimaError, match="raw: expected a new folder for the snapshot"):
        lake.fetch(address, zone)
    assert snapshot(zone) == before


def test_a_damaged_file_is_not_fetched(zone, tmp_path):
    address = write(zone, str(tmp_path / "lake"))
    Path(address, "files", "ImpVinhos.csv").write_bytes(b"something else")
    with pytest.raises(VindimaError, match=r"files/ImpVinhos\.csv: expected sha256 \w{64}, got \w{64}$"):
        lake.fetch(address, tmp_path / "fetched")
    assert {path.name for path in tmp_path.iterdir()} == {"raw", ".raw.lock", "lake"}


@pytest.mark.parametrize("damage", ["{", "{}", "[]", '{"files": [{"slug": "sales", "address": "Comercio.csv"}]}'])
def test_a_damaged_manifest_is_said(zone, tmp_path, damage):
    address = write(zone, str(tmp_path / "lake"))
    Path(address, "manifest.json").write_text(damage, encoding="utf-8")
    with pytest.raises(VindimaError, match=r"manifest\.json: expected that of a raw zone, got"):
        lake.fetch(address, tmp_path / "fetched")


@pytest.mark.parametrize("slug", ["../../../escaped", "/escaped", "a/b", "..", "", "a\\b", "~"])
def test_a_name_that_leads_out_of_the_folder_is_refused(zone, tmp_path, slug):
    address = write(zone, str(tmp_path / "lake"))
    manifest = raw_zone.read_manifest(zone)
    manifest["files"][0]["slug"] = slug
    (zone / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(VindimaError, match=r"manifest\.json: expected names of files and tables, got"):
        lake.write_snapshot(zone, str(tmp_path / "lake"), manifest)
    Path(address, "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    before = snapshot(tmp_path)
    with pytest.raises(VindimaError, match=r"manifest\.json: expected names of files and tables, got"):
        lake.fetch(address, tmp_path / "fetched")
    assert snapshot(tmp_path) == before


def test_an_address_that_leads_out_of_the_folder_stays_in_it(zone, tmp_path):
    address = write(zone, str(tmp_path / "lake"))
    manifest = raw_zone.read_manifest(zone)
    manifest["files"][0]["address"] = "download/../../../../raw/manifest.json"
    Path(address, "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    before = snapshot(tmp_path)
    with pytest.raises(VindimaError):
        lake.fetch(address, tmp_path / "fetched")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("address", ["s3://", "s3:/bucket/zone", "gs:bucket"])
def test_half_an_address_is_refused_and_makes_no_folder(zone, tmp_path, monkeypatch, address):
    monkeypatch.chdir(tmp_path)
    before = snapshot(tmp_path)
    with pytest.raises(VindimaError, match=r"expected a lake such as a folder, s3://bucket/prefix or gs://"):
        write(zone, address)
    assert snapshot(tmp_path) == before


def test_an_unknown_protocol_is_named(zone):
    with pytest.raises(VindimaError, match=r"^nowhere://bucket/\S+: the lake cannot be used: .*nowhere"):
        write(zone, "nowhere://bucket")


def test_a_folder_that_cannot_be_written_is_named(zone, tmp_path):
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    with pytest.raises(VindimaError, match=r"file/lake/\S+: the lake cannot be written: .*[Nn]ot a directory"):
        write(zone, str(tmp_path / "file" / "lake"))


@pytest.mark.parametrize(("package", "extra"), [("s3fs", "s3"), ("gcsfs", "gs")])
def test_a_missing_library_names_its_extra(package, extra):
    said = refusal(f"{extra}://bucket/zone", before=f"sys.modules[{package!r}] = None")
    assert said == (
        f'{extra}://bucket/zone: the library that reads {extra}:// is missing: run `pip install "vindima[{extra}]"`'
    )


def test_what_an_address_holds_as_a_secret_is_not_said():
    with pytest.raises(VindimaError) as caught:
        lake.addresses("nowhere://key:hunter2/x@bucket/zone?sig=hunter2")
    assert str(caught.value).startswith("nowhere://bucket/zone: ")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["key:hunter2@store", "http://key:hunter2@", "http:/key:hunter2@store"])
def test_what_an_endpoint_holds_as_a_secret_is_not_said(endpoint):
    said = refusal("s3://bucket/zone", AWS_ENDPOINT_URL=endpoint, AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")
    assert said.startswith("s3://bucket/zone: the lake cannot be used: ")
    assert "hunter2" not in said


@pytest.mark.services
def test_a_bucket_gives_back_the_zone(zone, tmp_path, bucket_lake):
    assert lake.addresses(bucket_lake) == []
    address = write(zone, bucket_lake)
    assert content(address) == snapshot(zone)
    newest = write(zone, bucket_lake, retrieved_at="2026-11-23T21:56:05+00:00")
    assert lake.addresses(bucket_lake) == [address, newest]
    assert lake.fetch(bucket_lake, tmp_path / "fetched") == newest
    assert snapshot(tmp_path / "fetched") == snapshot(zone)
    assert raw_zone.read(tmp_path / "fetched") == raw_zone.read(zone)


@pytest.mark.services
def test_what_another_process_wrote_is_seen(zone, bucket_lake):
    assert lake.addresses(bucket_lake) == []
    program = """
import sys
from pathlib import Path
from vindima.ingestion import raw_zone, lake
zone = Path(sys.argv[1])
print(lake.write_snapshot(zone, sys.argv[2], raw_zone.read_manifest(zone)))
"""
    command = [sys.executable, "-W", "error", "-c", program, str(zone), bucket_lake]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert lake.addresses(bucket_lake) == done.stdout.split()


@pytest.mark.services
def test_a_snapshot_that_is_in_the_bucket_is_left_alone(zone, bucket_lake, monkeypatch):
    address = write(zone, bucket_lake)
    fs, _ = fsspec.url_to_fs(address)
    with monkeypatch.context() as patch:
        patch.setattr(fs, "put", lambda *_, **__: pytest.fail("wrote it again"))
        assert write(zone, bucket_lake) == address


@pytest.mark.services
@pytest.mark.parametrize("lost", ["manifest.json", "files/ImpVinhos.csv"])
def test_half_a_snapshot_in_a_bucket_is_completed(zone, bucket_lake, lost):
    address = write(zone, bucket_lake)
    remove(f"{address}/{lost}")
    assert lake.addresses(bucket_lake) == ([] if lost == "manifest.json" else [address])
    write(zone, bucket_lake)
    assert content(address) == snapshot(zone)


@pytest.mark.services
def test_a_name_in_a_bucket_that_leads_out_of_the_folder_is_refused(zone, tmp_path, bucket_lake):
    address = write(zone, bucket_lake)
    manifest = raw_zone.read_manifest(zone)
    manifest["files"][0]["slug"] = "../../../escaped"
    fs, path = fsspec.url_to_fs(address)
    fs.pipe_file(f"{path}/manifest.json", json.dumps(manifest).encode())
    before = snapshot(tmp_path)
    with pytest.raises(VindimaError, match=r"expected names of files and tables, got 'tables/\.\./"):
        lake.fetch(address, tmp_path / "fetched")
    assert snapshot(tmp_path) == before


@pytest.mark.services
def test_a_bucket_that_does_not_exist_is_said(emulator):
    address = f"{emulator.protocol}://no-such-bucket/zone"
    said = refusal(address, **emulator.environment)
    assert said == f"{address}: the lake cannot be used: there is no such bucket, or a file of it is gone"


@pytest.mark.services
def test_a_bucket_without_credentials_is_said(s3_emulator):
    said = refusal(f"s3://{BUCKET}/zone", AWS_ENDPOINT_URL=s3_emulator.endpoint)
    assert said == f"s3://{BUCKET}/zone: the lake cannot be used: Unable to locate credentials"


@pytest.mark.services
def test_a_bucket_that_is_not_ours_is_said():
    denial = {"error": {"code": 403, "message": "nobody does not have storage.objects.list access"}}

    with mirror.running(Response(json.dumps(denial), 403, content_type="application/json")) as endpoint:
        said = refusal("gs://theirs/zone", STORAGE_EMULATOR_HOST=endpoint)
    assert said.startswith("gs://theirs/zone: the lake cannot be used: Forbidden: ")
    assert said.endswith("nobody does not have storage.objects.list access")


@pytest.mark.services
def test_a_bucket_that_stops_taking_files_gets_no_manifest(zone, s3_emulator, tmp_path, monkeypatch):
    for name, value in s3_emulator.environment.items():
        monkeypatch.setenv(name, value)
    into = f"s3://{BUCKET}/{tmp_path.name}"

    def permit(requests_from_now: str) -> None:
        requests.post(
            f"{s3_emulator.endpoint}/moto-api/reset-auth", data=requests_from_now, timeout=10
        ).raise_for_status()

    permit("20")
    try:
        with pytest.raises(VindimaError, match=r"the lake cannot be used: .*Access Key Id you provided"):
            write(zone, into)
    finally:
        permit("inf")
    there = {name.partition("/")[2] for name in content(into)}
    assert 0 < len(there) < len(snapshot(zone))
    assert "manifest.json" not in there
    assert lake.addresses(into) == []
    assert content(write(zone, into)) == snapshot(zone)


@pytest.mark.services
@pytest.mark.parametrize("protocol", ["s3", "gs"])
@pytest.mark.parametrize("silent", [False, True], ids=["nobody listens", "nobody answers"])
def test_an_endpoint_that_cannot_be_reached_is_said_in_time(protocol, silent):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1] if silent else free_port()
        start = time.monotonic()
        said = refusal(
            f"{protocol}://{BUCKET}/zone",
            before="lake.PATIENCE = 2",
            AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}",
            AWS_ACCESS_KEY_ID="nobody",
            AWS_SECRET_ACCESS_KEY="nothing",
            AWS_DEFAULT_REGION="us-east-1",
            STORAGE_EMULATOR_HOST=f"http://127.0.0.1:{port}",
        )
    assert said == f"{protocol}://{BUCKET}/zone: the lake did not answer within 2 seconds"
    assert time.monotonic() - start < 30


@pytest.mark.services
def test_dvc_pushes_the_raw_zone_and_pulls_it_back(zone, tmp_path, emulator):
    project = tmp_path / "project"
    shutil.copytree(zone, project / "data" / "raw")
    (tmp_path / "home").mkdir()
    variables = environment(
        **emulator.environment,
        HOME=str(tmp_path / "home"),
        DVC_NO_ANALYTICS="1",
        DVC_SITE_CACHE_DIR=str(tmp_path / "site"),
    )

    def run(*command: str) -> None:
        done = subprocess.run(command, cwd=project, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    dvc = (sys.executable, "-m", "dvc")
    run("git", "init", "--quiet")
    run(*dvc, "init", "--quiet")
    run(*dvc, "remote", "add", "--default", "lake", f"{emulator.protocol}://{BUCKET}/{tmp_path.name}")
    run(*dvc, "remote", "modify", "lake", "endpointurl", emulator.endpoint)
    run(*dvc, "add", "--quiet", "data/raw")
    run(*dvc, "push")
    shutil.rmtree(project / ".dvc" / "cache")
    shutil.rmtree(project / "data" / "raw")
    run(*dvc, "pull")
    assert snapshot(project / "data" / "raw") == snapshot(zone)
