"""Whether the service on this machine answers: `python -m vindima.serving.health` ends with 0 or 1.

It calls what `vindima serve` is told by the same environment. A container is asked every half minute, so this imports
the standard library alone.
"""

import http.client
import os
import ssl
import sys
from collections.abc import Mapping

SECONDS = 4
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def address(environment: Mapping[str, str]) -> tuple[str, int, str]:
    """Host, port and route to call: those of the service, or of its contract with a model host."""
    given = {name: value for name, value in environment.items() if value}
    host = given.get("HOST", "127.0.0.1")
    contract = given.get("VINDIMA_HOST_CONTRACT", "0").lower() in ("1", "true", "t", "yes", "y", "on")
    port, route = "8000", "/health/live"
    if contract or "AIP_HTTP_PORT" in given:
        port, route = given.get("AIP_HTTP_PORT", "8080"), given.get("AIP_HEALTH_ROUTE", "/ping")
    return EVERYWHERE.get(host, host), int(given.get("PORT", port)), route


def answers(environment: Mapping[str, str]) -> bool:
    """Whether the service answers there with 200."""
    host, port, route = address(environment)
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    if environment.get("VINDIMA_TLS_CERTIFICATE"):
        unnamed = ssl.create_default_context()  # the certificate is of another name than this machine's own
        unnamed.check_hostname, unnamed.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=SECONDS, context=unnamed)
    try:
        connection.request("GET", route)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not answers(os.environ))
