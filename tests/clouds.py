"""Environments for what reads the templates of clouds, which would not agree with the project's lock."""

import atexit
import functools
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

LOCKS = Path(__file__).resolve().parent.parent / "deploy" / "locks"


@functools.cache
def environment(lock_name: str) -> Path:
    """An environment that has what `deploy/locks/<lock_name>.txt` names and nothing of ours: made once, then removed.

    Its programs are in `bin`.
    """
    if shutil.which("uv") is None:
        pytest.skip("uv, of the lock, is not on the PATH")
    folder = Path(tempfile.mkdtemp(prefix=f"vindima-{lock_name}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run(["uv", "venv", "--quiet", "--allow-existing", "--python", sys.executable, folder], check=True)
    install = ["uv", "pip", "install", "--quiet", "--python", folder / "bin" / "python", "--require-hashes"]
    subprocess.run([*install, "-r", LOCKS / f"{lock_name}.txt"], check=True)
    return folder
