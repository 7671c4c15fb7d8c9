"""What the service does while many clients drip, hang, stay silent or take nothing: `python -m benchmarks.hostile`.

Under gunicorn, at the deadlines as they are, without a proxy. The tests attack with the same, at shorter deadlines.
"""

import itertools
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from flask import Flask, Response, request

from benchmarks.attacks import ATTACKS, call_live, certify, run, wait_for
from vindima.serving import bounds, serve


def make_app() -> Flask:
    """A small application: it is the server that is measured."""
    app = Flask("hostile")
    app.add_url_rule("/health/live", "live", lambda: {"status": "live"})
    app.add_url_rule("/echo", "echo", lambda: {"bytes": len(request.get_data())}, methods=["POST"])
    lines = b"1997,imports.table_wine,2.7183\n" * 2114
    rows = lambda: (lines for _ in range(16 * request.args.get("megabytes", 1, int)))  # noqa: E731
    app.add_url_rule("/csv", "csv", lambda: Response(rows(), mimetype="text/csv"))
    return app


def rows(counts: tuple[int, ...] = (200, 1000)) -> list[dict]:
    """One row for each attack and number of clients; memory is the largest resident set of a worker afterwards."""
    import psutil

    measured = []
    for count, (name, attack) in itertools.product(counts, ATTACKS.items()):
        with tempfile.TemporaryDirectory() as folder, serve.listen("127.0.0.1", 0) as free:
            files = certify(Path(folder)) if "TLS" in name else ()
            port = free.getsockname()[1]
            free.close()
            process = subprocess.Popen([sys.executable, "-m", "benchmarks.hostile", str(port), *map(str, files)])
            live = partial(call_live, port, *files[:1])
            wait_for(live, process)
            course = run(port, attack, count, 4 * bounds.SEND_SECONDS, live)
            memory = max(one.memory_info().rss for one in psutil.Process(process.pid).children())
            process.terminate()
            process.wait()
        cut = f"{min(course.cut):.1f} to {max(course.cut):.1f}" if len(course.cut) == count else "not all"
        row = {"attack": name, "clients": count, "live_worst_s": round(max(course.live), 3), "cut_after_s": cut}
        measured.append(row | {"worker_mb": round(memory / 1e6)})
    return measured


def main() -> None:
    """Print the rows as a table; with a port, serve what is attacked."""
    if port := sys.argv[1:2]:
        serve.serve(make_app, serve.listen("127.0.0.1", int(port[0])), "gunicorn", *map(Path, sys.argv[2:]))
    else:
        import pandas as pd

        print(pd.DataFrame(rows()).to_string(index=False))


if __name__ == "__main__":
    main()
