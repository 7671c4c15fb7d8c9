"""States of runs that did not happen, as runs leave them."""

import json
from pathlib import Path
from typing import Any

from vindima import runs


def write_state(root: Path, **changes: Any) -> dict[str, Any]:
    """The state of a run of the project in `root` that ended now, well, but for the `changes`; it is the newest."""
    folder = root / "reports" / "runs"
    made = runs.announce(folder=folder)
    ended = made | {"state": "ended", "ended_at": runs.now(), "outcome": "done", "progress": 1.0} | changes
    (folder / "states" / f"{made['id']}.json").write_text(json.dumps(ended), encoding="utf-8")
    return ended
