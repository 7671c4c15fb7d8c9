"""A bare Flask hello behind the JWT check, under the server of the service: what the service is measured beside."""

import os

from flask import Flask

from vindima import paths
from vindima.serving import auth, serve


def make_app() -> Flask:
    """One route, which wants a token."""
    app = Flask("hello")
    app.config.update(USERS=paths.USERS, JWT_SECRET=os.environ["VINDIMA_JWT_SECRET"])

    @app.get("/hello")
    @auth.bearer.login_required
    def hello() -> str:
        return "hello"

    return app


if __name__ == "__main__":
    serve.serve(make_app, serve.listen("127.0.0.1", int(os.environ["PORT"])), serve.default_server())
