"""What a kilogram of Chilean table wine is likely to cost, by requests.

Set VINDIMA_NAME and VINDIMA_PASSWORD; VINDIMA_URL is http://localhost:8000 unless set.
"""

import os

import requests

url = os.environ.get("VINDIMA_URL", "http://localhost:8000")

with requests.Session() as session:
    session.headers["Accept-Language"] = "pt-BR"  # the sentences; without it they are in English
    given = session.post(
        f"{url}/v1/token", auth=(os.environ["VINDIMA_NAME"], os.environ["VINDIMA_PASSWORD"]), timeout=10
    )
    given.raise_for_status()
    session.headers["Authorization"] = f"Bearer {given.json()['access_token']}"

    question = {"series": "imports.table_wine.CHL", "horizon": 3}
    scenario = {"exchange_rate": {"pct": 10}}
    reply = session.post(
        f"{url}/v1/predictions", json={"items": [question, question | {"scenario": scenario}]}, timeout=10
    )
    if reply.status_code == 422:  # every wrong field, with what was expected and what arrived
        raise SystemExit("\n".join(f"{e['field']}: {e['expected']}, {e['got']}" for e in reply.json()["errors"]))
    reply.raise_for_status()

as_it_is, moved = reply.json()["items"]
for before, after in zip(as_it_is["path"], moved["path"], strict=True):
    low, high = before["intervals"]["80"]
    print(f"{before['year']}  {before['forecast']:.2f} ({low:.2f} to {high:.2f})  moved: {after['forecast']:.2f}")
for warning in moved["warnings"]:
    print("-", warning)
