"""Writes environment.yml, the environment of the lock for conda users, from requirements.txt."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

HEAD = """\
# The locked environment for conda users, made from requirements.txt by `make lock`.
name: vindima
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python >=3.11,<3.14
  - pip
  - pip:
"""


def locked(requirements: str) -> list[str]:
    """Pinned requirements of a lock, without hashes: `name==version` and its marker, if any."""
    return [line.removesuffix(" \\") for line in requirements.splitlines() if re.match(r"[a-z0-9]", line)]


def environment(requirements: str) -> str:
    """Text of environment.yml for the text of a lock; the project itself comes last."""
    lines = [
        f"      - {requirement!r}" if " " in requirement else f"      - {requirement}"
        for requirement in locked(requirements)
    ]
    return HEAD + "\n".join([*lines, "      - --editable ."]) + "\n"


if __name__ == "__main__":
    text = environment((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    (ROOT / "environment.yml").write_text(text, encoding="utf-8")
