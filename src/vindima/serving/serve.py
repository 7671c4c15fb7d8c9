"""Runs the service on a socket: gunicorn, or waitress where gunicorn does not run."""

import importlib.util
import os
import socket
from typing import Literal

from flask import Flask

from vindima.errors import VindimaError

Server = Literal["gunicorn", "waitress"]

WORKERS = 2
THREADS = 4


def default_server() -> Server:
    """gunicorn where it is installed and runs (POSIX), else waitress."""
    return "gunicorn" if os.name == "posix" and importlib.util.find_spec("gunicorn") else "waitress"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at the address; raises VindimaError where it cannot, a port in use included."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        why = str(error.strerror).partition(" (while")[0]  # create_server repeats the address there
        raise VindimaError(
            f"cannot serve at {host} port {port}: {why}; set HOST and PORT to a free address"
        ) from error


def serve(app: Flask, listening: socket.socket, server: Server) -> None:
    """Answer at `listening` until told to stop. Raises VindimaError where `server` does not run here."""
    if server == "waitress":
        import waitress

        waitress.serve(app, sockets=[listening], threads=WORKERS * THREADS)
        return
    try:
        from gunicorn.app.base import BaseApplication
    except ImportError as error:
        raise VindimaError(f"gunicorn does not run here ({error}): use `--server waitress`") from error

    class Service(BaseApplication):
        def load_config(self) -> None:
            settings = {
                "bind": f"fd://{listening.fileno()}",
                "workers": WORKERS,
                "threads": THREADS,
                "worker_class": "gthread",
                "keepalive": 5,
                "control_socket_disable": True,
                "loglevel": "warning",
            }
            for name in settings.keys() & self.cfg.settings.keys():  # older ones have no control socket
                self.cfg.set(name, settings[name])

        def load(self) -> Flask:
            return app

    Service().run()
