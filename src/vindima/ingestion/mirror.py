"""A small copy of the Vitibrasil site, made from data/figures: same addresses, structure and downloads.

It is the default source, so that a collection runs over HTTP without internet, and the double of the site
in tests. Structure and number format follow the pages saved in 2025; the words are our own.
"""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.routing import Map, Rule
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from vindima import paths
from vindima.errors import VindimaError
from vindima.ingestion import figures
from vindima.ingestion.catalogue import TABLES, Table
from vindima.ingestion.figures import Bundled
from vindima.ingestion.parse import Page, PageRow, amount, grouped, row_level, shown

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

HOST = "127.0.0.1"

OPTIONS = {
    "opt_01": "Apresentação",
    "opt_02": "Produção",
    "opt_03": "Processamento",
    "opt_04": "Comercialização",
    "opt_05": "Importação",
    "opt_06": "Exportação",
    "opt_07": "Publicação",
}
SUBOPTIONS = {
    "processing_viniferas": "Viníferas",
    "processing_american_hybrid": "Americanas e híbridas",
    "processing_table_grapes": "Uvas de mesa",
    "processing_unclassified": "Sem classificação",
    "table_wine": "Vinhos de mesa",
    "sparkling_wine": "Espumantes",
    "fresh_grapes": "Uvas frescas",
    "raisins": "Uvas passas",
    "grape_juice": "Suco de uva",
}
LABEL_HEADINGS = {"production": "Produto", "sales": "Produto", "processing": "Cultivar"}
MEASURE_HEADINGS = {"L": "Quantidade (L.)", "kg": "Quantidade (Kg)"}

UVIBRA = "União Brasileira de Vitivinicultura (UVIBRA)"
SOURCES = {
    "production": UVIBRA,
    "sales": UVIBRA,
    "imports": "C.I.E.F./M.F.",
    "exports": "CACEX e DECEX/C.T.I.C.",
}
FOOTNOTES = {
    "sales": [
        "Obs: desde 1997 o espumante moscatel é contado à parte.",
        "Obs: 2007 inclui vinho do programa federal de escoamento (PEP).",
    ],
    "exports_table_wine": ["Obs: desde 1996 inclui todo o vinho tranquilo (Tec 2204.21 e 2204.29)."],
}


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        """Nothing: a collection asks a hundred times."""


def create_mirror(figures_dir: Path = paths.FIGURES) -> "WSGIApplication":
    """A WSGI application that answers as the site does, from the figures in `figures_dir`.

    Without `subopcao` a page shows the first, without `ano` the newest year. What the site answers for a year
    out of range is not known; here it is the nearest year that there is, as its form's own limits would have
    it, and the newest for what is no number. An option without a table shows the option buttons alone.
    """
    bundled = figures.read(figures_dir)
    template = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    ).get_template("mirror.html")

    def page(request: Request) -> Response:
        table = _chosen(request.args.get("opcao", ""), request.args.get("subopcao", ""))
        if table is None:
            return Response(template.render(options=OPTIONS.items()), mimetype="text/html")
        years = bundled.tables[table.slug].table.years
        asked = request.args.get("ano", "")
        year = min(max(int(asked), years[0]), years[-1]) if re.fullmatch(r"\d{1,9}", asked) else years[-1]
        text = template.render(options=OPTIONS.items(), page=_page(bundled, table, year))
        return Response(text, mimetype="text/html")

    def download(request: Request, name: str) -> Response:
        table = next((table for table in TABLES.values() if table.download == name), None)
        if table is None:
            raise NotFound
        return Response(figures.download(bundled.tables[table.slug]), mimetype="text/csv")

    def robots(request: Request) -> Response:
        return Response("User-agent: *\nAllow: /\n", mimetype="text/plain")

    routes = Map(
        [
            Rule("/", endpoint=page, methods=["GET"]),
            Rule("/index.php", endpoint=page, methods=["GET"]),
            Rule("/download/<name>.csv", endpoint=download, methods=["GET"]),
            Rule("/robots.txt", endpoint=robots, methods=["GET"]),
        ]
    )

    @Request.application
    def app(request: Request) -> Response | HTTPException:
        try:
            endpoint, arguments = routes.bind_to_environ(request.environ).match()
            return endpoint(request, **arguments)
        except HTTPException as error:
            return error

    return app


@contextmanager
def running(app_or_figures_dir: "WSGIApplication | Path" = paths.FIGURES, port: int = 0) -> Iterator[str]:
    """Serve a mirror on the loopback interface in a thread; yields its base address, without a final slash.

    Port 0 is any free one. Raises VindimaError where the port is in use.
    """
    source = app_or_figures_dir
    app = create_mirror(source) if isinstance(source, Path) else source
    try:
        listener = socket.create_server((HOST, port))
    except OSError as error:
        raise VindimaError(f"the mirror cannot listen on {HOST}:{port}: {error.strerror}") from None
    bound_port = listener.getsockname()[1]
    with listener:
        server = make_server(HOST, 0, app, threaded=True, request_handler=_Quiet, fd=listener.fileno())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{bound_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _chosen(option: str, suboption: str) -> Table | None:
    offered = [table for table in TABLES.values() if table.option == option]
    return next((table for table in offered if table.suboption == suboption), offered[0] if offered else None)


def _page(bundled: Bundled, table: Table, year: int) -> dict[str, object]:
    """What the template shows of one table in one year."""
    raw = bundled.tables[table.slug].table
    width = len(table.measures)
    start = raw.years.index(year) * width
    published = [row.cells[start : start + width] for row in raw.rows]
    levels = [None if table.is_trade else row_level(row) for row in raw.rows]
    counted = [cells for cells, level in zip(published, levels, strict=True) if level in (None, "item")]
    rows = [
        PageRow(row.label, level, tuple(shown(cell, table) for cell in cells))
        for row, level, cells in zip(raw.rows, levels, published, strict=True)
    ]
    page = Page(
        year=year,
        title=raw.title,
        first_year=raw.years[0],
        last_year=raw.years[-1],
        suboptions=[
            (other.suboption, SUBOPTIONS.get(other.slug) or SUBOPTIONS[other.topic or ""])
            for other in TABLES.values()
            if other.option == table.option and other.suboption
        ],
        download=table.download_path,
        headings=_headings(table),
        rows=rows,
        totals=[
            grouped(sum((amount(cell) or Decimal(0) for cell in column), Decimal(0)))
            for column in zip(*counted, strict=True)
        ],
        source=_source(table, year),
        footnotes=_footnotes(bundled, table, year, published),
    )
    return vars(page) | {
        "section": OPTIONS[table.option],
        "option": table.option,
        "suboption": table.suboption,
    }


def _headings(table: Table) -> list[str]:
    if table.is_trade:
        return ["Países", "Quantidade (Kg)", "Valor (US$)"]
    if table.slug == "processing_unclassified":
        return ["Sem definição", "Quantidade (Kg)"]
    return [LABEL_HEADINGS[table.section], MEASURE_HEADINGS[table.unit]]


def _source(table: Table, year: int) -> str:
    """Grapes processed come from UVIBRA to 2018, then from the state's Secretariat of Agriculture."""
    if table.section == "processing":
        return UVIBRA if year < 2019 else "Secretaria da Agricultura do Rio Grande do Sul"
    return SOURCES[table.section]


def _footnotes(bundled: Bundled, table: Table, year: int, published: list[list[str]]) -> list[str]:
    notes = list(FOOTNOTES.get(table.slug, []))
    if any("nd" in cells for cells in published):
        notes.append("nd: não disponível")
    figures_ = [f for f in bundled.footnotes if (f.table, f.year) == (table.slug, year)]
    if figures_:
        totals = "; ".join(f"{figure.label}: {figure.figure}" for figure in figures_)
        notes.append(f"*: para {year} só foram divulgados totais [{totals}]")
    return notes
