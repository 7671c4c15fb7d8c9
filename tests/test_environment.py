"""The lock, the conda environment and the ranges of pyproject.toml say the same."""

import importlib.metadata
import re
import runpy
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from rattler import MatchSpec

from tests.conftest import ROOT

ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.txt").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, GROUPS = PYPROJECT["project"], PYPROJECT["dependency-groups"]


def locked(lock: str = LOCK) -> dict[str, list[Requirement]]:
    found: dict[str, list[Requirement]] = {}
    for line in lock.splitlines():
        if re.match(r"[a-z0-9]", line):
            requirement = Requirement(line.removesuffix(" \\"))
            found.setdefault(requirement.name, []).append(requirement)
    return found


def test_environment_yml_is_what_the_lock_makes():
    module = runpy.run_path(str(ROOT / "deploy" / "environment.py"))
    expected = module["environment"](LOCK)
    assert (ROOT / "environment.yml").read_text(encoding="utf-8") == expected, "run `make lock`"


def test_pip_section_of_the_conda_environment_holds_every_locked_requirement():
    pip = next(entry["pip"] for entry in ENVIRONMENT["dependencies"] if isinstance(entry, dict))
    pinned = [str(requirement) for versions in locked().values() for requirement in versions]
    assert [str(Requirement(line)) for line in pip[:-1]] == pinned
    assert pip[-1] == "--editable ."


def test_conda_lines_are_readable_by_conda():
    lines = [entry for entry in ENVIRONMENT["dependencies"] if isinstance(entry, str)]
    names = [str(MatchSpec(line).name) for line in lines]
    assert any("python" in name for name in names)
    assert any("pip" in name for name in names)


def test_conda_and_the_package_ask_for_the_same_pythons():
    python = next(entry for entry in ENVIRONMENT["dependencies"] if str(entry).startswith("python"))
    assert set(python.removeprefix("python ").split(",")) == set(PROJECT["requires-python"].split(","))


def test_lock_names_no_address_and_hashes_everything():
    assert "://" not in LOCK
    assert "index-url" not in LOCK
    for line in LOCK.splitlines():
        assert line.endswith("\\") or "--hash=sha256:" in line


@pytest.mark.parametrize(
    "line",
    PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"],
    ids=lambda line: line.split(">")[0],
)
def test_lock_satisfies_each_range(line: str):
    wanted = Requirement(line)
    versions = locked()[re.sub(r"[-_.]+", "-", wanted.name).lower()]
    assert all(wanted.specifier.contains(str(version.specifier).removeprefix("==")) for version in versions)


def locked_for(group: str) -> str:
    return (ROOT / "deploy" / "locks" / f"{group}.txt").read_text(encoding="utf-8")


def hashes(lock: str) -> set[str]:
    """`name==version` and one of its hashes, for each, whatever the marker."""
    pinned = re.split(r"\n(?=[a-z0-9])", lock.strip())
    return {f"{one.split()[0]} {hashed}" for one in pinned for hashed in re.findall(r"--hash=\S+", one)}


@pytest.mark.parametrize("group", ["build", "service"])
def test_image_holds_the_versions_and_files_of_the_lock(group: str):
    held = locked_for(group)
    assert hashes(held)
    assert hashes(held) <= hashes(LOCK), "run `make lock`"
    assert "://" not in held
    for line in held.splitlines():
        assert line.endswith("\\") or "--hash=sha256:" in line


@pytest.mark.parametrize("group", ["build", "service"])
def test_image_holds_what_its_dependencies_need_and_nothing_else(group: str):
    wanted, found = [Requirement(line) for line in GROUPS[group]], set()
    while wanted:
        one = wanted.pop()
        name = re.sub(r"[-_.]+", "-", one.name).lower()
        if name not in found and (one.marker is None or one.marker.evaluate({"extra": ""})):
            assert not one.extras, name
            found.add(name)
            wanted += map(Requirement, importlib.metadata.requires(name) or [])
    held = locked(locked_for(group))
    assert found == {
        name
        for name, versions in held.items()
        if any(version.marker is None or version.marker.evaluate() for version in versions)
    }


def test_extra_of_celery_is_locked_beside_the_lock_and_agrees_with_it():
    held = locked_for("celery")
    assert GROUPS["celery"] == PROJECT["optional-dependencies"]["celery"]
    assert "://" not in held
    for line in held.splitlines():
        assert line.endswith("\\") or "--hash=sha256:" in line
    of_the_lock = {name: versions for name, versions in locked(held).items() if name in locked()}
    assert {name: {str(one.specifier) for one in versions} for name, versions in of_the_lock.items()} == {
        name: {str(one.specifier) for one in locked()[name]} for name in of_the_lock
    }
    assert "redis" in set(locked(held)) - set(locked()), "the extra adds the client of Redis"


@pytest.mark.parametrize("group", ["warehouse", "spark"])
def test_what_speaks_to_other_engines_stands_beside_the_lock_and_never_against_it(group: str):
    held = locked(locked_for(group))
    assert {Requirement(line).name for line in GROUPS[group]} <= held.keys()
    assert GROUPS[group][0] in PROJECT["optional-dependencies"][group]
    for name in held.keys() & locked().keys():
        assert {str(one.specifier) for one in held[name]} <= {str(one.specifier) for one in locked()[name]}
    for line in locked_for(group).splitlines():
        assert line.endswith("\\") or "--hash=sha256:" in line


@pytest.mark.parametrize("group", ["airflow", "clouds"])
def test_environment_of_its_own_is_locked_by_hashes_and_names_no_registry(group: str):
    held = locked_for(group)
    names = {re.sub(r"[-_.]+", "-", Requirement(line).name).lower() for line in GROUPS[group]}
    assert names <= locked(held).keys()
    assert "://" not in held
    for line in held.splitlines():
        assert line.endswith("\\") or "--hash=sha256:" in line


def test_what_the_image_depends_on_is_named_and_bounded_where_the_project_names_it():
    assert set(GROUPS["service"]) <= {Requirement(line).name for line in PROJECT["dependencies"]}
    assert GROUPS["build"] == PYPROJECT["build-system"]["requires"]


def test_service_imports_what_the_image_depends_on():
    program = "import sys; from vindima.serving import api, host, worker; import vindima.cli; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    names = importlib.metadata.packages_distributions()
    imported = {name.lower().replace("_", "-") for module in found for name in names.get(module, [])}
    # the files of one are served, the other is for `vindima serve --server waitress`
    assert set(GROUPS["service"]) - imported == {"flask-openapi3-swagger", "waitress"}


def test_what_is_installed_is_what_is_locked():
    for name, versions in locked().items():
        wanted = [version for version in versions if version.marker is None or version.marker.evaluate()]
        if wanted:
            assert str(wanted[0].specifier) == f"=={importlib.metadata.version(name)}", name
