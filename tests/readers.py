"""Programs of the environment that reads the templates of clouds; each prints what it read, or refuses it."""

import json
import subprocess
from pathlib import Path

from tests.clouds import environment


def read(program: str, *arguments: str) -> tuple[object, str]:
    """What a program printed as JSON, and its last complaint where it failed (then None comes first)."""
    python = environment("clouds") / "bin" / "python"
    whole = [python, "-W", "ignore", "-c", program, *arguments]
    ended = subprocess.run(whole, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    if ended.returncode:
        return None, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1]), ""
