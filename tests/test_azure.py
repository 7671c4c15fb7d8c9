"""What Azure ML is given, read by the loaders of its own client."""

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.readers import read

pytestmark = pytest.mark.deploy
FOLDER = ROOT / "deploy" / "azure"
LOADERS = """
import json, sys
from azure.ai.ml import load_job, load_online_deployment, load_online_endpoint
from azure.ai.ml.entities._load_functions import load_schedule
loaders = {"endpoint": load_online_endpoint, "deployment": load_online_deployment, "job": load_job}
read = (loaders | {"schedule": load_schedule})[sys.argv[1]](sys.argv[2])
print(json.dumps(read._to_dict() | {"does": getattr(read, "command", None)}, default=str))
"""
NAMES = ("endpoint", "deployment", "job", "schedule")


def test_every_file_is_read():
    assert {path.stem for path in FOLDER.iterdir()} == {*NAMES}
    found = {}
    for name in NAMES:
        found[name], said = read(LOADERS, name, str(FOLDER / f"{name}.yml"))
        assert found[name], said
    assert found["endpoint"]["auth_mode"] == "key"
    deployment = found["deployment"]
    assert deployment["environment_variables"] == {"VINDIMA_HOST_CONTRACT": "1"}
    routes = deployment["environment"]["inference_config"]
    assert (routes["scoring_route"]["path"], routes["readiness_route"]["path"]) == ("/invocations", "/ping")
    assert deployment["endpoint_name"] == found["endpoint"]["name"]
    assert "entrypoint.sh train ${{outputs.model}}" in found["job"]["does"]
    assert found["schedule"]["trigger"]["expression"] == "17 5 * * 1"


@pytest.mark.parametrize("name", NAMES)
def test_unknown_key_is_refused(name: str, tmp_path: Path):
    for path in FOLDER.iterdir():
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    file = tmp_path / f"{name}.yml"
    file.write_text(file.read_text(encoding="utf-8") + "mistyped_key: 1\n", encoding="utf-8")
    found, said = read(LOADERS, name, str(file))
    assert found is None
    assert "mistyped_key" in said or "ValidationError" in said
