"""Writes the Postman collection and its environment from the service's OpenAPI document, by npm's converter.

`make postman` reads the set that is served (`make` first) and wants npm. What the converter cannot know
is added here: the token that one call gives and the others send, and what each reply is to be.
"""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from vindima import files, paths
from vindima.serving import openapi, sets
from vindima.serving.answers import Answers
from vindima.serving.api import TABLE_QUERIES

FOLDER = Path(__file__).parent / "postman"
COLLECTION = FOLDER / "vindima.postman_collection.json"
ENVIRONMENT = FOLDER / "vindima.postman_environment.json"

_KEEP = 'pm.environment.set("bearerToken", pm.response.json().access_token);'
_KEEP_RUN = 'pm.environment.set("collection", pm.response.json().id);'
_ANSWERED = 'pm.test("answered", () => pm.response.to.have.status(200));'
_STARTED = 'pm.test("started, or one is under way", () => pm.expect(pm.response.code).to.be.oneOf([202, 409]));'
_PROVENANCE = (
    'pm.test("says where it comes from", () => [].concat(pm.response.json().items || pm.response.json())\n'
    "  .every((one) => pm.expect(one.provenance || pm.response.json().provenance).to.have.property('vintage')));"
)


def install() -> None:
    """Install the npm packages of the lock, if they are not there."""
    if not (FOLDER / "node_modules").is_dir():
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=FOLDER, check=True)


def documents() -> dict[Path, dict[str, Any]]:
    """The collection and the environment, by the file that each is for."""
    described = openapi.document(Answers(*sets.service_tables(paths.SERVED, paths.SERVED)), TABLE_QUERIES)
    return {COLLECTION: _collection(described), ENVIRONMENT: _environment()}


def _collection(described: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "openapi.json", Path(folder) / "collection.json"
        source.write_text(json.dumps(described), encoding="utf-8")
        options = "folderStrategy=Tags,parametersResolution=Example"
        command = ["npx", "--no-install", "openapi2postmanv2", "-s", str(source), "-o", str(made), "-O", options]
        subprocess.run(command, cwd=FOLDER, check=True, stdout=subprocess.DEVNULL)
        converted = json.loads(made.read_bytes())
    info = {key: value for key, value in converted["info"].items() if key in ("name", "schema", "description")}
    operations = {
        (method.upper(), path): operation
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    }
    folders = [_folder(one, operations) for one in converted["item"]]
    return {"info": info, "auth": converted["auth"], "item": folders}


def _folder(folder: dict[str, Any], operations: dict) -> dict[str, Any]:
    return {"name": folder["name"], "item": [made for one in folder["item"] for made in _requests(one, operations)]}


def _requests(item: dict[str, Any], operations: dict) -> list[dict[str, Any]]:
    """The requests of one operation: one for each example of its body, or one."""
    asked = item["request"]
    asked.pop("description", None)
    path = "/" + "/".join(f"{{{part[1:]}}}" if part.startswith(":") else part for part in asked["url"]["path"])
    operation = operations[asked["method"], path]
    shown = {parameter["name"]: parameter.get("example") for parameter in operation.get("parameters", ())}
    for parameter in asked["url"].get("query", ()):
        if shown[parameter["key"]] is None:  # the converter makes one up
            parameter |= {"disabled": True, "value": ""}
    tests = [_ANSWERED]
    if path == "/v1/token":
        tests.append(_KEEP)
    elif path == "/v1/collections":
        tests = [_STARTED, _KEEP_RUN]
    elif path.startswith("/v1/collections/"):
        asked["url"]["variable"][0]["value"] = "{{collection}}"
    elif path.startswith("/v1/"):
        tests.append(_PROVENANCE)
    script = {"type": "text/javascript", "exec": "\n".join(tests).split("\n")}
    event = [{"listen": "test", "script": script}]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    made = []
    for example in content.get("examples", {}).values():
        body = asked["body"] | {"raw": json.dumps(example["value"], indent=2)}
        made.append({"name": example["summary"], "request": asked | {"body": body}, "event": event})
    return made or [{"name": item["name"], "request": asked, "event": event}]


def _environment() -> dict[str, Any]:
    values = {
        "baseUrl": ("http://localhost:8000", "default"),
        "basicAuthUsername": ("", "default"),
        "basicAuthPassword": ("", "secret"),
        "bearerToken": ("", "secret"),
        "collection": ("", "default"),
    }
    return {
        "name": "Vindima",
        "values": [
            {"key": key, "value": value, "type": kind, "enabled": True} for key, (value, kind) in values.items()
        ],
    }


def main() -> None:
    """Write both files."""
    install()
    for path, content in documents().items():
        files.write(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
