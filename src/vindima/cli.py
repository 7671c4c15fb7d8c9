"""The one command line, `vindima`. Each command imports what it needs, so that `--help` answers at once."""

import os
import sys
from pathlib import Path
from typing import Literal

import click

from vindima.errors import VindimaError

RESULTS = """\
  data/forecasts/forecasts.parquet  all forecasts, with 80 and 95 per cent intervals
  data/prices/prices.parquet        yearly unit values of trade, US$ FOB a kilogram
  data/tidy/                        production, processing, sales, trade, totals
  models/card.md                    what the model does and how it did (card.pt-BR.md in Portuguese)
  reports/metrics.json              scores beside the naive forecast
  site/index.html                   the reports as files, to open, to serve or to send
Next: make reports · make lab · make serve"""


class _Plain(click.Group):
    """A group whose commands end a `VindimaError` with its sentence on stderr and exit code 1.

    So they end where a library is not installed: the image of the service has those of `serve`, `users` and `keys`.
    """

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except VindimaError as error:
            click.echo(f"vindima: {error}", err=True)
            sys.exit(1)
        except ModuleNotFoundError as error:
            if str(error.name).startswith("vindima"):
                raise
            needs = f"this command needs {error.name}, which is not installed here: use the project's environment"
            click.echo(f"vindima: {needs}; `serve`, `users` and `keys` need less", err=True)
            sys.exit(1)


@click.group(cls=_Plain, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="vindima")
def main() -> None:
    """Brazil's wine statistics as validated data, and price forecasts that say how sure they are."""
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # a log is no place for progress bars


@main.command()
@click.argument("name")
@click.option("-p", "--parameter", "settings", multiple=True, metavar="NAME=VALUE", help="Instead of params.yaml's.")
def stage(name: str, settings: tuple[str, ...]) -> None:
    """Run one stage of the pipeline: its notebook, with the parameters of params.yaml."""
    from vindima import params, run

    overrides = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise click.BadParameter(f"expected NAME=VALUE, got {setting!r}")
        overrides[key] = params.value_of(value, key)
    run.run_stage(name, overrides)


@main.command("run")
@click.option("--until", metavar="STAGE", help="Stop after this stage; the set that is served stays as it is then.")
@click.option("--refresh", is_flag=True, help="Collect the source first (VINDIMA_SOURCE; by default the live site), "
              "and end where it has nothing new.")  # fmt: skip
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), envvar="VINDIMA_RUN_MINUTES",
              show_envvar=True, help="End a run that takes longer.  [default: 180]")  # fmt: skip
@click.option("--id", "identity", hidden=True)
def run_pipeline(until: str | None, refresh: bool, minutes: float | None, identity: str | None) -> None:
    """Run the pipeline (`dvc repro`) and switch the set that is served to what it made; one run at a time."""
    from vindima import paths, run

    outcome = run.run_pipeline(until, refresh, identity, minutes)
    if until is None and outcome != "nothing_new":
        click.echo(f"\n{run.summary()}\n\nResults in {paths.ROOT}:\n{RESULTS}")


_at = click.option("--at", "when", default="17 5 * * 1", show_default=True, metavar="WHEN", envvar="VINDIMA_SCHEDULE",
                   show_envvar=True, help="Five fields of cron, or a word such as @daily.")  # fmt: skip


@main.group()
def schedule() -> None:
    """`vindima run --refresh` by itself: an entry of your crontab."""


@schedule.command("install")
@_at
def install_schedule(when: str) -> None:
    """Put this project's entry into the crontab, in the place of the one before."""
    from vindima import schedule

    click.echo(f"installed: {schedule.install(when)}")


@schedule.command("show")
def show_schedule() -> None:
    """Print this project's entry; exit code 1 where there is none."""
    from vindima import schedule

    if (entry := schedule.show()) is None:
        raise VindimaError("no entry of this project is in the crontab: `vindima schedule install` puts one there")
    click.echo(entry)


@schedule.command("remove")
def remove_schedule() -> None:
    """Take this project's entry out of the crontab."""
    from vindima import schedule

    click.echo("removed" if schedule.remove() else "there was none")


@main.command()
@click.option("--beat", is_flag=True, help="Also send `vindima run --refresh` by the schedule of --at.")
@_at
def worker(beat: bool, when: str) -> None:
    """Do the runs that wait at the broker (VINDIMA_BROKER; by default files in reports/runs/queue), one at a time."""
    from vindima import jobs

    sys.exit(jobs.work(when if beat else None))


@main.command()
@click.argument("years", nargs=-1, required=True, type=int, metavar="YEAR...")
@click.option("--flow", type=click.Choice(["imports", "exports"]), help="Only this one.")
@click.option("--to", "folder", type=click.Path(file_okay=False, path_type=Path), help="[default: data/comexstat]")
@click.option("--from", "base", metavar="ADDRESS", envvar="VINDIMA_COMEXSTAT", show_envvar=True,
              help="Another site with the same files.  [default: https://balanca.economia.gov.br]")  # fmt: skip
@click.option("--again", is_flag=True, help="Also what is there and whole.")
def comexstat(years: tuple[int, ...], flow: str | None, folder: Path | None, base: str | None, again: bool) -> None:
    """Fetch Comex Stat's files of whole years of trade (EXP_2024.csv, …), for `vindima microdata`."""
    from vindima import paths
    from vindima.ingestion import comexstat

    folder = folder or paths.COMEXSTAT
    for line in comexstat.fetch(years, folder, [flow] if flow else None, base or comexstat.SITE, again):
        click.echo(line)
    click.echo(f"next: vindima microdata {folder}/*.csv")


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--flow", type=click.Choice(["imports", "exports"]), help="Of files that do not tell it themselves.")
@click.option("--to", "folder", type=click.Path(file_okay=False, path_type=Path), help="[default: data/microdata]")
@click.option("--memory", default="2GB", show_default=True, help="What DuckDB may hold while it sums.")
@click.option("--engine", type=click.Choice(["duckdb", "spark"]), default="duckdb", show_default=True,
              help="What sums: DuckDB, or Spark at the master of VINDIMA_SPARK (parquet alone).")  # fmt: skip
def microdata(files: tuple[Path, ...], flow: str | None, folder: Path | None, memory: str, engine: str) -> None:
    """Sum trade micro-data (CSV or parquet, Comex Stat's own too) to monthly and yearly unit values."""
    from vindima import paths
    from vindima.etl import microdata

    folder = folder or paths.MICRODATA
    made = microdata.run(files, folder, flow, memory, engine)
    click.echo(microdata.summary(made["monthly"]))
    click.echo(f"{', '.join(f'{name}.parquet' for name in made)} in {folder}")


@main.command()
@click.argument("table", required=False, type=click.Path(dir_okay=False, path_type=Path))
def nowcast(table: Path | None) -> None:
    """The price of the year that runs, from the months of TABLE (monthly.parquet of `vindima microdata`)."""
    from vindima import paths
    from vindima.forecasting import nowcast

    click.echo(nowcast.run(table or paths.MICRODATA / "monthly.parquet"))


@main.command("forecast-months")
@click.argument("table", required=False, type=click.Path(dir_okay=False, path_type=Path))
def forecast_months(table: Path | None) -> None:
    """The prices of the next twelve months, from TABLE (monthly.parquet of `vindima microdata`), and how such did."""
    from vindima import paths
    from vindima.forecasting import seasonal

    click.echo(seasonal.run(table or paths.MICRODATA / "monthly.parquet"))


@main.command("forecast-years")
@click.argument("table", required=False, type=click.Path(dir_okay=False, path_type=Path))
def forecast_years(table: Path | None) -> None:
    """The prices of the next five years, from TABLE (yearly.parquet of `vindima microdata`)."""
    from vindima import paths
    from vindima.forecasting import yearly

    click.echo(yearly.run(table or paths.MICRODATA / "yearly.parquet"))


@main.command()
@click.option("--offline", is_flag=True, help="Leave out what needs a network: the DVC remote, the lake, the source.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def doctor(ctx: click.Context, offline: bool, as_json: bool) -> None:
    """Say whether all that is needed here is there, fresh and whole; the exit code is 1 where anything fails."""
    import json
    from dataclasses import asdict

    from vindima import doctor

    findings = doctor.examine(offline)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in findings], ensure_ascii=False, indent=1))
    else:
        click.echo("\n".join(map(str, findings)))
    ctx.exit(int(any(one.level == "fail" for one in findings)))


@main.command()
@click.option("--mark", type=click.Path(path_type=Path), help="Write this file where all is well, always the same.")
@click.option("--take", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="First put the values of "
              "this file into params.yaml: an object of JSON, by dotted names.")  # fmt: skip
def check(mark: Path | None, take: Path | None) -> None:
    """Say what of params.yaml the pipeline cannot work with; it is checked so before every run."""
    from vindima import files, params, paths

    if take:
        params.take(paths.ROOT, take)
    params.read(paths.ROOT)
    done = "params.yaml holds what the pipeline can work with."
    if mark:
        files.write(mark, f"{done} (`vindima check`; the stages wait for this file, which is always the same.)\n")
    click.echo(done)


@main.command()
@click.option("--from", "storage_from", metavar="STORAGE", help="Take the set that is kept there instead (a folder, "
              "s3://bucket/prefix, …).")  # fmt: skip
@click.option("--to", "storage_to", metavar="STORAGE", help="Keep the set that is served there instead.")
def switch(storage_from: str | None, storage_to: str | None) -> None:
    """Put what the pipeline made in the place that the service and the reports read."""
    from vindima import paths

    if storage_from or storage_to:
        from vindima import storage

        if storage_from:
            newer = storage.Storage(storage_from).fetch_set(paths.SERVED)
            click.echo(f"switched: {paths.SERVED} holds what the storage keeps" if newer else "nothing newer is kept")
        if storage_to:
            storage.Storage(storage_to).keep_set(paths.SERVED)
            click.echo("the set is kept")
        return
    from vindima.serving import store

    click.echo(f"switched: {store.switch(paths.ROOT, paths.SERVED)} holds what the pipeline made")


@main.command()
def site() -> None:
    """Write the reports as files into the folder `site`, and the pictures of the scores into `reports`."""
    import tempfile

    from vindima import files, paths
    from vindima.serving import accuracy, sets, store
    from vindima.serving import site as copies
    from vindima.serving.answers import Answers

    with tempfile.TemporaryDirectory() as folder:
        served = store.switch(paths.ROOT, Path(folder) / "served")
        answers = Answers(*sets.service_tables(served, paths.ROOT))
    written = copies.write(answers, paths.SITE)
    pictures = accuracy.pictures(answers, "en")
    files.write_all({paths.REPORTS / f"{name}.svg": drawing.svg() for name, drawing in pictures.items()})
    click.echo(f"{len(written)} pages; the first is {written[0]}")


@main.command()
@click.option("--host", default="localhost", show_default=True, help="The address to listen on.")
@click.option("--port", default=8866, show_default=True, envvar="PORT", help="The next free one, if it is taken.")
def reports(host: str, port: int) -> None:
    """Serve the reports (Voila), with a start page."""
    from vindima.serving import pages

    pages.run(host, port)


@main.group()
def users() -> None:
    """Who may ask the service: kept in VINDIMA_USERS, passwords hashed."""


@users.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice(["reader", "operator"]), default="reader", show_default=True)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def add_user(name: str, role: str, password_stdin: bool) -> None:
    """Add the user NAME, with a password of 12 characters or more."""
    from vindima import paths
    from vindima.serving import auth

    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    user = auth.add(paths.USERS, name, password, role)
    click.echo(f"added {user.name} ({user.role})")


@users.command("list")
def list_users() -> None:
    """List all users: name, role, and whether disabled."""
    from vindima import paths
    from vindima.serving import auth

    for user in auth.list_users(paths.USERS):
        click.echo("\t".join([user.name, user.role] + ["disabled"] * user.disabled))


@users.command("disable")
@click.argument("name")
def disable_user(name: str) -> None:
    """Refuse the password and the tokens of the user NAME from now on."""
    from vindima import paths
    from vindima.serving import auth

    auth.disable(paths.USERS, name)
    click.echo(f"disabled {name}")


@users.command("copy")
@click.option("--from", "storage_from", metavar="STORAGE", help="Take the users that are kept there, if any are, in "
              "place of those here.")  # fmt: skip
@click.option("--to", "storage_to", metavar="STORAGE", help="Keep those here there.")
def copy_users(storage_from: str | None, storage_to: str | None) -> None:
    """Take users and keys from a storage, or keep them there, for services whose disk does not last."""
    from vindima import paths, storage

    if bool(storage_from) == bool(storage_to):
        raise click.UsageError("expected --from STORAGE or --to STORAGE")
    if storage_from:
        there = storage.Storage(storage_from).fetch_users(paths.USERS)
        click.echo(f"{paths.USERS} holds what the storage keeps" if there else "no users are kept there")
    if storage_to:
        storage.Storage(storage_to).keep_users(paths.USERS)
        click.echo("the users are kept")


@main.group()
def keys() -> None:
    """The keys that sign tokens: kept in VINDIMA_USERS, encrypted under VINDIMA_JWT_SECRET."""


@keys.command("add")
def add_key() -> None:
    """Make a key, which signs from now on; tokens of the earlier ones are good until they expire."""
    from vindima import paths
    from vindima.serving import auth

    key = auth.add_key(paths.USERS, auth.check_secret(os.environ.get("VINDIMA_JWT_SECRET")))
    click.echo(f"added {key}, which signs from now on")


@keys.command("list")
def list_keys() -> None:
    """List all keys: id, made when, and whether they sign, verify, are expired or of another secret."""
    from vindima import paths
    from vindima.serving import auth

    for key in auth.list_keys(paths.USERS, auth.check_secret(os.environ.get("VINDIMA_JWT_SECRET"))):
        click.echo(f"{key.id}\t{key.made:%Y-%m-%dT%H:%M:%SZ}\t{key.state}")


@keys.command("retire")
@click.argument("key", metavar="ID")
@click.option("--now", is_flag=True, help="Refuse its tokens from now on; if it is the one that signs, make another.")
def retire_key(key: str, now: bool) -> None:
    """Sign no more with the key ID; its tokens are good until they expire."""
    from vindima import paths
    from vindima.serving import auth

    secret = auth.check_secret(os.environ.get("VINDIMA_JWT_SECRET"))
    made = auth.retire_key(paths.USERS, secret, key, at_once=now)
    click.echo(f"retired {key}; its tokens are {'refused from now on' if now else 'good until they expire'}")
    if made:
        click.echo(f"added {made}, which signs from now on")


@main.command()
@click.option("--host", envvar="HOST", default="127.0.0.1", show_default=True, show_envvar=True)
@click.option("--port", envvar="PORT", type=click.IntRange(0, 65535), show_envvar=True,
              help="[default: 8000; as the model host says, with 8080 by default, for one]")  # fmt: skip
@click.option("--server", type=click.Choice(["gunicorn", "waitress"]), help="Default: gunicorn where it runs")
@click.option("--certificate", envvar="VINDIMA_TLS_CERTIFICATE", show_envvar=True, type=click.Path(path_type=Path),
              help="Answer over HTTPS alone, with this certificate (PEM, with its chain).")  # fmt: skip
@click.option("--key", envvar="VINDIMA_TLS_KEY", show_envvar=True, type=click.Path(path_type=Path),
              help="The certificate's private key (PEM, without a pass phrase).")  # fmt: skip
@click.option("--host-contract", envvar="VINDIMA_HOST_CONTRACT", show_envvar=True, is_flag=True,
              help="Answer a model host (SageMaker, Vertex AI), without tokens, and nothing but health and "
              "predictions; also where AIP_HTTP_PORT is set.")  # fmt: skip
def serve(
    host: str,
    port: int | None,
    server: Literal["gunicorn", "waitress"] | None,
    certificate: Path | None,
    key: Path | None,
    host_contract: bool,
) -> None:
    """Answer programs over HTTP, or over HTTPS."""
    from vindima.serving import serve as serving

    serving.count_together()
    from vindima.serving import api, telemetry
    from vindima.serving import host as model_host

    server = server or serving.default_server()
    scheme = "https" if serving.tls(server, certificate, key) else "http"
    for_a_host = host_contract or model_host.wanted()
    make_app = model_host.create_host_app if for_a_host else api.create_app
    if port is None:
        port = model_host.port() if for_a_host else 8000
    if reason := api.why_not_ready(make_app()):
        raise VindimaError(reason)
    listening = serving.listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"Vindima answers at {scheme}://{shown}:{listening.getsockname()[1]}", err=True)
    telemetry.log_as_json()
    serving.serve(make_app, listening, server, certificate, key)


@main.command()
@click.option("--source", metavar="SOURCE", help="mirror, live or an address that begins with http.")
@click.option("--method", metavar="METHOD", help="csv (the downloads) or pages (every year's page).")
@click.option("--accept", metavar="ACCEPT", help="newer refuses less than is on hand, any takes it.")
@click.option("--lake", metavar="ADDRESS", help="A folder or bucket that keeps each collection.")
@click.option("--into", metavar="FOLDER", type=click.Path(path_type=Path), help="Another raw zone than data/raw.")
def collect(into: Path | None, **chosen: str | None) -> None:
    """Collect all tables into the raw zone; what is not given is taken from params.yaml."""
    from vindima import params, paths
    from vindima.ingestion import site

    values = params.read(
        paths.ROOT, {f"collect.{name}": value for name, value in chosen.items() if value is not None}
    )
    manifest = site.collect(
        **{name: values[f"collect.{name}"] for name in params.SECTIONS["collect"]}, raw_dir=into or paths.RAW
    )
    files = len(manifest["files"])
    click.echo(f"vintage {manifest['vintage']} from {manifest['source']}: {files} files in {into or paths.RAW}")


@main.command()
@click.option("--raw", metavar="RAW", help="The raw zone or snapshot to read, a folder or s3://… or gs://…")
@click.option("--figures", type=click.Path(path_type=Path), help="Where to write; by default data/figures.")
def freeze(raw: str | None, figures: Path | None) -> None:
    """Make the bundled figures, which the mirror serves, from a raw zone of downloads; by default data/raw."""
    import tempfile

    from vindima import paths
    from vindima.ingestion import lake
    from vindima.ingestion.figures import write

    figures = figures or paths.FIGURES
    with tempfile.TemporaryDirectory() as folder:
        zone = Path(raw) if raw else paths.RAW
        if raw and "://" in raw:
            zone = Path(folder) / "raw"
            raw = lake.fetch(raw, zone)
        write(zone, figures)
    click.echo(f"figures of {raw or zone} in {figures}")


@main.command("revisions")
@click.argument("old", required=False)
@click.argument("new", required=False)
@click.option("--all", "everything", is_flag=True, help="Print every change, not the first ten of each table.")
@click.option("--json", "as_json", is_flag=True, help="Print all changes as JSON.")
def list_revisions(old: str | None, new: str | None, everything: bool, as_json: bool) -> None:
    """What changed from OLD to NEW; by default from data/figures to data/raw.

    Each is a raw zone, a snapshot or a lake (its newest), a folder of bundled figures or one of the site's downloads.
    """
    import json

    from vindima import paths
    from vindima.ingestion import revisions, vintages

    before, after = vintages.read(old or str(paths.FIGURES)), vintages.read(new or str(paths.RAW))
    if as_json:
        changes = revisions.compare(before.tables, after.tables)
        when = [vintage.retrieved_at or vintage.address for vintage in (before, after)]
        found = {
            "revisions": revisions.record(changes, *when),
            "not_compared": revisions.not_compared(before.tables, after.tables),
        }
        click.echo(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        click.echo(f"from {before} to {after}")
        click.echo(revisions.report(before.tables, after.tables, most=None if everything else 10))


@main.command()
def enrich() -> None:
    """Fetch the newest exchange rates and price levels from FRED and the Banco Central into data/figures."""
    from vindima import paths
    from vindima.etl import enrichment

    click.echo(enrichment.refresh(paths.FIGURES).to_string(index=False))


@main.group()
def warehouse() -> None:
    """The stored tables in a database, a vintage beside the next: DuckDB, PostgreSQL, Redshift or BigQuery."""


_url = click.argument("url", required=False, envvar="VINDIMA_WAREHOUSE")


@warehouse.command("load")
@_url
def load_warehouse(url: str | None) -> None:
    """Publish what the pipeline made at URL (VINDIMA_WAREHOUSE; by default the file data/warehouse.duckdb).

    A file, duckdb://, postgres://, redshift:// or bigquery://project/dataset. Loading a vintage again replaces it.
    """
    import tempfile

    from vindima import paths
    from vindima.etl import warehouse
    from vindima.serving import store

    with tempfile.TemporaryDirectory() as folder:
        whole = store.switch(paths.ROOT, Path(folder) / "served")
        loaded = warehouse.load(url or str(warehouse.DEFAULT), whole)
    click.echo(f"loaded vintage {loaded.vintage} into {loaded.place}: {len(loaded.rows)} tables, "
               f"{sum(loaded.rows.values()):,} rows")  # fmt: skip


@warehouse.command("export")
@_url
@click.option("--vintage", metavar="VINTAGE", help="By default the one that was loaded last.")
@click.option("--into", metavar="FOLDER", type=click.Path(path_type=Path), help="Another folder than the project's.")
def export_warehouse(url: str | None, vintage: str | None, into: Path | None) -> None:
    """Write what the forecasting stages start from back from URL: data/tidy and data/prices/prices.parquet."""
    from vindima import paths
    from vindima.etl import warehouse

    folder = into or paths.ROOT
    found, written = warehouse.export(url or str(warehouse.DEFAULT), folder, vintage)
    click.echo(f"wrote vintage {found}: {len(written)} files in {folder}")


@warehouse.command("statements")
@click.argument("engine", type=click.Choice(["duckdb", "postgres", "redshift", "bigquery"]))
def print_statements(engine: str) -> None:
    """Print the statements that make the tables, for whoever may make them in your place."""
    from vindima.etl import warehouse

    click.echo(";\n".join(warehouse.statements(engine)) + ";")
