"""The service for WSGI servers and `flask run`."""

from vindima.serving.api import create_app

app = create_app()
