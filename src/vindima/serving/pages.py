"""Voila as the project runs it: the reports, a start page before them, and kernels that end with the visit.

A page that is left asks for the end of its kernel (`navigator.sendBeacon`), with the cookie `_xsrf` as proof that it
is Voila's own page. No page of a report sets that cookie, so Voila refuses, and the kernel of every visit stays.
"""

from datetime import date
from pathlib import Path
from typing import Any

import tornado.web
from jupyter_core.paths import jupyter_config_path
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado.ioloop import IOLoop, PeriodicCallback
from traitlets import default
from voila.app import Voila
from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from vindima import paths
from vindima.errors import VindimaError
from vindima.labels import Language
from vindima.serving import sets, start
from vindima.serving.answers import LANGUAGES
from vindima.serving.current import LOOK_SECONDS, Current

LANGUAGE_COOKIE = "vindima-language"
TEMPLATES = Path(__file__).parent / "templates" / "voila"
ONLY_OURS = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"


class Farewell(VoilaShutdownKernelHandler):
    """Ends the kernel of a page that is left, without the cookie that the page does not have.

    This handler alone goes without it. All that can be done here is to end the kernel of an id, 122 random bits that
    only the page of that kernel knows; and a browser that comes from another site's page is refused as before, by its
    header Origin.
    """

    def check_xsrf_cookie(self) -> None:
        return None


class StartPage(JupyterHandler):
    """The start page, in the language that was chosen on it before, else the one that the browser asks for."""

    def initialize(self, current: Current) -> None:
        self.current = current

    @tornado.web.authenticated
    def get(self) -> None:
        chosen = self.get_query_argument("lang", self.get_cookie(LANGUAGE_COOKIE))
        asked = parse_accept_header(self.request.headers.get("Accept-Language"), LanguageAccept)
        wanted = chosen if chosen in LANGUAGES else asked.best_match(LANGUAGES)
        language: Language = "en" if wanted == "en" else "pt"
        if self.get_query_argument("lang", None) == language:
            # The reports' script reads it, so it is not for HTTP alone.
            self.set_cookie(LANGUAGE_COOKIE, language, expires_days=365, samesite="Lax")
        self.current.look()
        if self.current.answers is None:
            raise tornado.web.HTTPError(503, self.current.refused or "")
        self.set_header("Content-Language", "pt-BR" if language == "pt" else "en")
        self.set_header("Vary", "Accept-Language, Cookie")
        self.set_header("Cache-Control", "no-cache")
        self.set_header("Content-Security-Policy", ONLY_OURS)
        self.finish(start.page(self.current.answers, language))


class Reports(Voila):
    """Voila with the start page, with kernels that end with the visit and none that waits with an older set."""

    @default("config_file_paths")
    def _beside_the_project(self) -> list[str]:
        return [str(paths.ROOT), *jupyter_config_path()]

    def init_settings(self) -> dict[str, Any]:
        """Voila's, and pages go compressed: a report is half a megabyte, a tenth of that so."""
        return super().init_settings() | {"compress_response": True}

    def setup_template_dirs(self) -> None:
        """Ours comes before Voila's of the same name."""
        super().setup_template_dirs()
        self.template_paths.insert(0, str(TEMPLATES))

    def init_handlers(self) -> list[tuple[Any, ...]]:
        """Ours come before Voila's of the same address."""
        current = Current(paths.SERVED)
        ours = [
            (url_path_join(self.server_url, r"/voila/api/shutdown/([\w-]+)"), Farewell),
            (self.server_url, StartPage, {"current": current}),
            (url_path_join(self.server_url, r"/voila/tree.*"), tornado.web.RedirectHandler, {"url": self.base_url}),
        ]
        return ours + super().init_handlers()

    def listen(self) -> None:
        self._shown = _shown_now()
        if self.voila_configuration.preheat_kernel:
            PeriodicCallback(self._renew, 1000 * LOOK_SECONDS).start()
        IOLoop.current().add_callback(lambda: print(f"Reports: {self.display_url}", flush=True))
        super().listen()

    async def _renew(self) -> None:
        """Put new kernels in the place of those that wait for a visitor, once the set or the day is another.

        They have drawn their page already, and a page says how old its figures are today.
        """
        if (now := _shown_now()) == self._shown or now[0] is None:
            return
        self._shown = now
        for notebook, pool in self.kernel_manager._pools.items():
            waiting, pool[:] = list(pool), []
            self.kernel_manager.fill_if_needed(delay=0, notebook_name=notebook)
            for kernel in waiting:
                await self.kernel_manager.shutdown_kernel((await kernel)["kernel_id"])


def _shown_now() -> tuple[Any, date]:
    return sets.identity(paths.SERVED), date.today()


def run(host: str, port: int, notebooks: Path = paths.NOTEBOOKS / "reports") -> None:
    """Serve the reports until somebody ends it. Raises VindimaError where there is no set to show."""
    if refused := Current(paths.SERVED).refused:
        raise VindimaError(refused)
    Reports.launch_instance([str(notebooks), "--no-browser", f"--Voila.ip={host}", f"--port={port}"])
