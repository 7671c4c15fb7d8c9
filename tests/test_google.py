"""What Google is given, read by Google's own code: App Engine's, and the message types of its clients."""

import base64
import json
import re
import string

import pytest

from tests.conftest import ROOT
from tests.readers import read

pytestmark = pytest.mark.deploy
FOLDER = ROOT / "deploy" / "google"
WORDS = {
    "PROJECT": "wine", "REGION": "southamerica-east1", "BUCKET": "wine-vindima", "VINDIMA_JWT_SECRET": "s" * 32,
    "IMAGE": "southamerica-east1-docker.pkg.dev/wine/vindima/vindima:pipeline",
}  # fmt: skip
APP = """
import json, sys
from google.appengine.api import appinfo
read = appinfo.LoadSingleAppInfo(sys.argv[1])
print(json.dumps({"runtime": read.runtime, "env": read.env, "variables": dict(read.env_variables)}))
"""
MESSAGE = """
import json, sys
from google.cloud import aiplatform_v1, scheduler_v1
from google.protobuf import json_format
kinds = {"job": aiplatform_v1.CustomJob, "schedule": scheduler_v1.Job, "model": aiplatform_v1.UploadModelRequest}
message = json_format.Parse(sys.argv[2], kinds[sys.argv[1]].pb()())
print(json.dumps(json_format.MessageToDict(message)))
"""


def filled(name: str, **more: str) -> str:
    """The file as `envsubst` fills it; every word in it is one of the README's."""
    return string.Template((FOLDER / name).read_text(encoding="utf-8")).substitute(WORDS | more)


def test_app_engine_reads_its_file():
    found, said = read(APP, filled("app.yaml"))
    assert isinstance(found, dict), said
    assert (found["runtime"], found["env"]) == ("vm", "flex")  # its reader calls a custom runtime vm
    assert found["variables"]["VINDIMA_STORAGE"] == "gs://wine-vindima/vindima"
    assert found["variables"]["VINDIMA_PROXIES"] == "1"


def test_job_schedule_and_model_are_messages_of_their_clients():
    body = base64.b64encode(filled("job.json").encode()).decode()
    found = {}
    for name in ("job", "schedule", "model"):
        found[name], said = read(MESSAGE, name, filled(f"{name}.json", BODY=body))
        assert found[name], said
    container = found["job"]["jobSpec"]["workerPoolSpecs"][0]["containerSpec"]
    assert (container["imageUri"], container["args"]) == (WORDS["IMAGE"], ["run"])
    target = found["schedule"]["httpTarget"]
    assert target["uri"].startswith("https://southamerica-east1-aiplatform.googleapis.com/v1/projects/wine/")
    sent, said = read(MESSAGE, "job", base64.b64decode(target["body"]).decode())
    assert sent == found["job"], said
    model = found["model"]["model"]["containerSpec"]
    assert (model["predictRoute"], model["healthRoute"]) == ("/invocations", "/ping")


@pytest.mark.parametrize(
    ("name", "word"), [("app", "env"), ("job", "imageUri"), ("schedule", "timeZone"), ("model", "predictRoute")]
)
def test_mistyped_key_is_refused(name: str, word: str):
    text = filled(f"{name}.yaml" if name == "app" else f"{name}.json", BODY="aGk=")
    mistyped = re.sub(rf"\b{word}\b(?=\"?:)", f"{word}s", text, count=1)
    assert mistyped != text
    found, said = read(APP, mistyped) if name == "app" else read(MESSAGE, name, mistyped)
    assert found is None
    assert f"{word}s" in said


def test_no_file_has_a_secret_in_it():
    for path in FOLDER.iterdir():
        for line in path.read_text(encoding="utf-8").splitlines():
            assert "SECRET" not in line or line.split() == ["VINDIMA_JWT_SECRET:", "${VINDIMA_JWT_SECRET}"]


def test_readme_fills_every_word():
    readme = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    for path in FOLDER.iterdir():
        assert f"deploy/google/{path.name}" in readme
        for word in set(re.findall(r"\$\{(\w+)\}", path.read_text(encoding="utf-8"))):
            assert f"{word}=" in readme, word
    assert json.loads(filled("job.json"))["jobSpec"]["serviceAccount"].split("@")[0] in readme
