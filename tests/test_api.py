import gzip
import io
import json
import logging
import math
import re
import time
import zlib
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import jwt
import pandas as pd
import pytest
from flask.testing import FlaskClient
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from werkzeug.test import TestResponse

from vindima.errors import VindimaError
from vindima.serving import auth, store, telemetry
from vindima.serving.answers import TABLES
from vindima.serving.api import create_app

SECRET = "a secret of the tests, 32 bytes and more"
CHILE = "imports.table_wine.CHL"
TOTAL = "imports.table_wine"
F_WORDS = ["series", "currency", "terms", "unit", "path", "record", "assumptions", "warnings", "provenance"]


@pytest.fixture
def client(served_set: Path, users: Path) -> FlaskClient:
    return create_app({"SERVED": served_set, "USERS": users, "JWT_SECRET": SECRET}).test_client()


@pytest.fixture
def bearer(users: Path) -> dict[str, str]:
    auth.prepare(users, SECRET)
    token = auth.issue_token(users, SECRET, auth.User("ana", "reader", disabled=False))
    return {"Authorization": f"Bearer {token}"}


def problem(response: TestResponse, status: int) -> dict:
    """The problem document, held against RFC 9457 and the promise that it shows nothing of the inside."""
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    content = json.loads(response.data)
    assert content["type"] == "about:blank"
    assert content["title"] == HTTPStatus(status).phrase
    assert content["status"] == status
    assert content["detail"]
    assert content["instance"] == response.request.path
    assert b"Traceback" not in response.data
    assert SECRET.encode() not in response.data
    for error in content.get("errors", []):
        assert list(error) == ["field", "expected", "got"]
    return content


def fields(response: TestResponse, status: int = 422) -> list[str]:
    return [error["field"] for error in problem(response, status)["errors"]]


# ---- start


@pytest.mark.parametrize("secret", [None, "short"])
def test_app_without_a_secret_that_can_sign_does_not_start(
    secret: str | None, served_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VINDIMA_JWT_SECRET", raising=False)
    with pytest.raises(VindimaError, match="VINDIMA_JWT_SECRET"):
        create_app({"SERVED": served_set, "JWT_SECRET": secret})


def test_secret_comes_from_the_environment(served_set: Path, users: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VINDIMA_JWT_SECRET", SECRET)
    assert create_app({"SERVED": served_set, "USERS": users}).config["JWT_SECRET"] == SECRET


def test_app_without_a_set_lives_but_is_not_ready(tmp_path: Path, users: Path, bearer: dict[str, str]) -> None:
    config = {"SERVED": tmp_path / "none", "USERS": users, "JWT_SECRET": SECRET}
    client = create_app(config).test_client()
    assert client.get("/health/live").status_code == 200
    assert "there is no set to serve" in problem(client.get("/health/ready"), 503)["detail"]
    assert "there is no set to serve" in problem(client.get("/v1/series", headers=bearer), 503)["detail"]
    problem(client.get("/v1/series"), 401)
    assert client.post("/v1/token", auth=("ana", "uva isabel de 1875")).status_code == 200


def test_app_with_a_set_is_ready(client: FlaskClient) -> None:
    assert client.get("/health/live").json == {"status": "live"}
    assert client.get("/health/ready").json == {"status": "ready", "vintage": "0123456789ab"}


# ---- who may ask


def test_token_is_given_for_name_and_password_and_opens_the_data(client: FlaskClient) -> None:
    response = client.post("/v1/token", auth=("ana", "uva isabel de 1875"))
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    given = response.get_json()
    assert list(given) == ["access_token", "token_type", "expires_in"]
    assert (given["token_type"], given["expires_in"]) == ("Bearer", 3600)
    headers = {"Authorization": f"Bearer {given['access_token']}"}
    assert client.get("/v1/series", headers=headers).status_code == 200


@pytest.mark.parametrize("credentials", [("ana", "wrong"), ("bia", "uva isabel de 1875"), ("", ""), ("ana", "")])
def test_wrong_name_or_password_gets_no_token(client: FlaskClient, credentials: tuple[str, str]) -> None:
    response = client.post("/v1/token", auth=credentials)
    assert fields(response, 401) == ["Authorization"]
    assert response.headers["WWW-Authenticate"] == 'Basic realm="vindima"'


@pytest.mark.parametrize("header", ["", "Basic", "Basic !!!", "Basic YW5h", "Bearer abc", "Basic \xff"])
def test_call_for_a_token_without_credentials_is_401(client: FlaskClient, header: str) -> None:
    response = client.post("/v1/token", headers={"Authorization": header})
    assert fields(response, 401) == ["Authorization"]
    assert response.headers["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer  ",
        "Bearer a.b.c",
        "Bearer a=b",
        "Basic YW5hOnV2YSBpc2FiZWwgZGUgMTg3NQ==",
        "Bearer é",
        "Basic é",
    ],
)
@pytest.mark.parametrize("path", ["/v1/series", f"/v1/series/{CHILE}", f"/v1/series/{CHILE}/forecast"])
def test_call_without_a_good_token_is_401_and_says_how_to_come_back(
    client: FlaskClient, path: str, header: str | None
) -> None:
    response = client.get(path, headers={} if header is None else {"Authorization": header})
    assert fields(response, 401) == ["Authorization"]
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="vindima"'


def test_predictions_want_a_token_too(client: FlaskClient) -> None:
    problem(client.post("/v1/predictions", json={"series": CHILE}), 401)


def test_refused_token_is_told_apart_but_not_shown(client: FlaskClient, users: Path) -> None:
    user = auth.User("ana", "reader", disabled=False)
    expired = auth.issue_token(users, SECRET, user, seconds=-1)
    foreign = jwt.encode({"sub": "ana"}, SECRET, algorithm="HS256")
    unknown = jwt.encode({"sub": "ana"}, SECRET, algorithm="HS256", headers={"kid": "0123456789abcdef"})
    stranger = auth.issue_token(users, SECRET, auth.User("bia", "reader", disabled=False))
    said = {}
    for token in (expired, foreign, unknown, stranger):
        response = client.get("/v1/series", headers={"Authorization": f"Bearer {token}"})
        said[token] = problem(response, 401)["errors"][0]["got"]
        assert token not in response.text
    assert list(said.values()) == [
        "an expired token",
        "a token that this service did not issue",
        "a token of a key that is retired or unknown",
        "a token of a user who is disabled or unknown",
    ]


def test_unsigned_token_is_refused(client: FlaskClient) -> None:
    exp = int(time.time()) + 60
    whole = {"iss": "vindima", "aud": "vindima", "sub": "ana", "role": "reader", "jti": "1", "iat": 1, "exp": exp}
    token = jwt.encode(whole, "", algorithm="none")
    problem(client.get("/v1/series", headers={"Authorization": f"Bearer {token}"}), 401)


def test_token_of_a_disabled_user_is_refused_at_once(
    client: FlaskClient, users: Path, bearer: dict[str, str]
) -> None:
    assert client.get("/v1/series", headers=bearer).status_code == 200
    auth.disable(users, "ana")
    problem(client.get("/v1/series", headers=bearer), 401)
    problem(client.post("/v1/token", auth=("ana", "uva isabel de 1875")), 401)


# ---- series


def test_series_are_listed_with_their_years(client: FlaskClient, bearer: dict[str, str]) -> None:
    answer = client.get("/v1/series", headers=bearer).get_json()
    assert list(answer) == ["items", "provenance"]
    assert [item["series"] for item in answer["items"]] == [
        "exports.fresh_grapes.NLD",
        "imports.table_wine",
        CHILE,
        "imports.table_wine.OTHER",
    ]
    assert answer["items"][0] == {
        "series": "exports.fresh_grapes.NLD",
        "flow": "exports",
        "product": "fresh_grapes",
        "country": "NLD",
        "first_year": 2000,
        "last_year": 2004,
        "forecast": False,
    }
    assert [item["forecast"] for item in answer["items"]] == [False, True, True, False]
    assert answer["items"][1]["country"] is None


def test_one_series_comes_with_its_history_and_null_for_what_is_not_known(
    client: FlaskClient, bearer: dict[str, str]
) -> None:
    answer = client.get("/v1/series/exports.fresh_grapes.NLD", headers=bearer).get_json()
    (item,) = answer["items"]
    assert [row["year"] for row in item["history"]] == [2000, 2001, 2002, 2003, 2004]
    assert item["history"][0] == {
        "year": 2000,
        "quantity_kg": 1000.0,
        "value_usd": 2500.0,
        "price_usd_kg": 2.5,
        "price_usd_kg_real": 2.75,
        "price_brl_kg": 12.5,
        "price_brl_kg_real": 15.0,
        "corrected": False,
    }
    assert item["base_year"] == 2023


def test_prices_in_reais_are_null_before_1995_and_real_dollars_are_not(
    client: FlaskClient, bearer: dict[str, str]
) -> None:
    (item,) = client.get(f"/v1/series/{TOTAL}", headers=bearer).get_json()["items"]
    for row in item["history"]:
        has_reais = row["year"] >= 1995
        assert (row["price_brl_kg"] is not None) == (row["price_brl_kg_real"] is not None) == has_reais
        assert row["price_usd_kg_real"] == (2.5 if row["year"] == item["base_year"] else 2.75)
    assert [item["history"][0]["year"], item["history"][-1]["year"]] == [1993, 2023]


# ---- price and mix


def test_total_comes_with_its_price_index_of_every_year_with_trade(
    client: FlaskClient, bearer: dict[str, str]
) -> None:
    (item,) = client.get(f"/v1/series/{TOTAL}", headers=bearer).get_json()["items"]
    words = ["series", "flow", "product", "country", "first_year", "last_year", "forecast"]
    assert list(item) == [*words, "base_year", "history", "index", "price_and_mix"]
    assert [row["year"] for row in item["index"]] == [row["year"] for row in item["history"]]
    assert item["index"][0] == {"year": 1993, "fisher": 1, "tornqvist": 1, "unit_value_relative": 1, "mix": 1}
    assert list(item["index"][1]) == ["year", "fisher", "tornqvist", "unit_value_relative", "mix"]
    for row in item["index"]:
        assert row["fisher"] * row["mix"] == pytest.approx(row["unit_value_relative"], rel=1e-9)


def test_split_is_over_the_last_ten_years_and_said_in_both_languages(
    client: FlaskClient, bearer: dict[str, str]
) -> None:
    (item,) = client.get(f"/v1/series/{TOTAL}", headers=bearer).get_json()["items"]
    split, levels = item["price_and_mix"], {row["year"]: row for row in item["index"]}
    assert list(split) == ["from", "to", "unit_value", "price", "mix", "sentence", "notes"]
    assert (split["from"], split["to"]) == (2014, 2023)
    assert split["price"] == pytest.approx(levels[2023]["fisher"] / levels[2014]["fisher"], rel=1e-12)
    assert split["price"] * split["mix"] == pytest.approx(split["unit_value"], rel=1e-9)
    assert split["sentence"]["en"].startswith("From 2014 to 2023 the unit value of imports of table wine")
    assert "bulk against bottled included" in split["sentence"]["en"]
    assert split["sentence"]["pt"].startswith("De 2014 a 2023, o valor unitário da importação de vinhos de mesa")
    assert split["notes"] == {
        "en": ["From 2014 to 2015 only 43% of the value traded is with countries that trade in both years; what "
               "the others did counts as mix."],
        "pt": ["De 2014 a 2015, só 43% do valor é de países com comércio nos dois anos; o que os demais fizeram "
               "conta como composição."],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "span"),
    [
        ("from=2000&to=2010", (2000, 2010)),
        ("from=1993", (1993, 2023)),
        ("to=2010", (2001, 2010)),
        ("to=1994", (1993, 1994)),
        ("to=2023&from=2022", (2022, 2023)),
    ],
)
def test_split_is_over_the_years_that_are_asked_for(
    client: FlaskClient, bearer: dict[str, str], query: str, span: tuple[int, int]
) -> None:
    usual = client.get(f"/v1/series/{TOTAL}", headers=bearer).get_json()
    answer = client.get(f"/v1/series/{TOTAL}?{query}", headers=bearer).get_json()
    (item,), (usual_item,) = answer["items"], usual["items"]
    split = item["price_and_mix"]
    assert (split["from"], split["to"]) == span
    assert split["sentence"]["en"].startswith(f"From {span[0]} to {span[1]} ")
    for table in ("history", "index"):
        assert item[table] == [row for row in usual_item[table] if span[0] <= row["year"] <= span[1]]
    cut = dict.fromkeys(("history", "index", "price_and_mix"))
    assert item | cut == usual_item | cut
    assert answer["provenance"] == usual["provenance"]


@pytest.mark.parametrize(
    ("query", "errors"),
    [
        ("from=1992", [("from", "a year with trade from 1993 to 2022", 1992)]),
        ("from=2023", [("from", "a year with trade from 1993 to 2022", 2023)]),
        ("to=1993", [("to", "a year with trade from 1994 to 2023", 1993)]),
        ("to=2024", [("to", "a year with trade from 1994 to 2023", 2024)]),
        ("from=2015&to=2015", [("from", "a year before 2015", 2015)]),
        ("from=2015&to=2010", [("from", "a year before 2010", 2015)]),
        ("from=x&to=", [("from", "a year with trade from 1993 to 2022", "x"),
                        ("to", "a year with trade from 1994 to 2023", "")]),
        ("from=2014.0", [("from", "a year with trade from 1993 to 2022", "2014.0")]),
        ("from=2014&from=2015", [("from", "one value", "an array of 2")]),
        ("since=2014", [("since", "one of from, to", "2014")]),
    ],
)  # fmt: skip
def test_years_outside_the_index_are_422_and_named(
    client: FlaskClient, bearer: dict[str, str], query: str, errors: list[tuple]
) -> None:
    content = problem(client.get(f"/v1/series/{TOTAL}?{query}", headers=bearer), 422)
    assert content["errors"] == [dict(zip(("field", "expected", "got"), error, strict=True)) for error in errors]


@pytest.mark.parametrize(
    ("query", "years"),
    [("", range(2000, 2024)), ("?from=2015&to=2017", range(2015, 2018)), ("?from=2020", range(2020, 2024)),
     ("?to=2001", range(2000, 2002)), ("?from=2015&to=2015", range(2015, 2016))],
)  # fmt: skip
def test_country_has_neither_index_nor_split_and_its_history_is_cut_to_the_years_that_are_asked_for(
    client: FlaskClient, bearer: dict[str, str], query: str, years: range
) -> None:
    (item,) = client.get(f"/v1/series/{CHILE}{query}", headers=bearer).get_json()["items"]
    assert (item["index"], item["price_and_mix"]) == (None, None)
    assert [row["year"] for row in item["history"]] == list(years)


@pytest.mark.parametrize(
    ("query", "errors"),
    [
        ("from=1999", [("from", "a year from 2000 to 2023", 1999)]),
        ("from=x&to=2024", [("from", "a year from 2000 to 2023", "x"), ("to", "a year from 2000 to 2023", 2024)]),
        ("from=2016&to=2015", [("from", "a year up to 2015", 2016)]),
    ],
)
def test_years_that_a_country_does_not_have_are_422_and_named(
    client: FlaskClient, bearer: dict[str, str], query: str, errors: list[tuple]
) -> None:
    content = problem(client.get(f"/v1/series/{CHILE}?{query}", headers=bearer), 422)
    assert content["errors"] == [dict(zip(("field", "expected", "got"), error, strict=True)) for error in errors]


def test_unknown_series_is_404_whatever_years_are_asked_for(client: FlaskClient, bearer: dict[str, str]) -> None:
    problem(client.get("/v1/series/imports.beer?from=2014", headers=bearer), 404)


def test_total_of_one_year_has_an_index_and_no_split(
    project_outputs: Path, served_set: Path, users: Path, bearer: dict[str, str]
) -> None:
    for name in ("prices", "index"):
        path = project_outputs / f"data/prices/{name}.parquet"
        table = pd.read_parquet(path)
        total = table["series"] == TOTAL if name == "prices" else True
        table[(table["year"] == 2023) | ~pd.Series(total, index=table.index)].to_parquet(path)
    store.switch(project_outputs, served_set)
    client = create_app({"SERVED": served_set, "USERS": users, "JWT_SECRET": SECRET}).test_client()
    (item,) = client.get(f"/v1/series/{TOTAL}", headers=bearer).get_json()["items"]
    assert [row["year"] for row in item["index"]] == [2023]
    assert item["price_and_mix"] is None
    assert (
        "only a total with trade in two years"
        in problem(client.get(f"/v1/series/{TOTAL}?to=2023", headers=bearer), 422)["errors"][0]["expected"]
    )


def test_every_answer_with_data_says_where_it_comes_from(client: FlaskClient, bearer: dict[str, str]) -> None:
    body = {"items": [{"series": CHILE}]}
    answers = [
        client.get("/v1/series", headers=bearer).get_json(),
        client.get(f"/v1/series/{CHILE}", headers=bearer).get_json(),
        client.get(f"/v1/series/{CHILE}/forecast", headers=bearer).get_json(),
        client.post("/v1/predictions", headers=bearer, json={"series": CHILE}).get_json(),
        *client.post("/v1/predictions", headers=bearer, json=body).get_json()["items"],
    ]
    for answer in answers:
        assert list(answer["provenance"]) == ["vintage", "cutoff", "model", "model_sha256", "source"]
        assert len(answer["provenance"]["model_sha256"]) == 64


# ---- forecasts


def test_forecast_is_the_whole_path_with_both_intervals_by_default(
    client: FlaskClient, bearer: dict[str, str]
) -> None:
    answer = client.get(f"/v1/series/{CHILE}/forecast", headers=bearer).get_json()
    assert list(answer) == F_WORDS
    assert [answer[word] for word in F_WORDS[:4]] == [CHILE, "usd", "nominal", "US$ FOB/kg"]
    assert answer["path"] == [
        {
            "year": 2023 + h,
            "horizon": h,
            "forecast": 2.5,
            "intervals": {"80": [2.5 / (1 + h), 2.75 + h], "95": [2.0 / (1 + h), 3.0 + h]},
        }
        for h in (1, 2, 3)
    ]
    assert "unit value of trade" in answer["warnings"][0]


@pytest.mark.parametrize(
    ("query", "horizons", "levels"),
    [
        ("horizon=1", [1], ["80", "95"]),
        ("horizon=2&level=95", [1, 2], ["95"]),
        ("level=80", [1, 2, 3], ["80"]),
        ("level=95&level=80&level=95", [1, 2, 3], ["80", "95"]),
        ("currency=usd&terms=nominal&horizon=3", [1, 2, 3], ["80", "95"]),
    ],
)
def test_forecast_is_cut_to_what_is_asked(
    client: FlaskClient, bearer: dict[str, str], query: str, horizons: list[int], levels: list[str]
) -> None:
    path = client.get(f"/v1/series/{CHILE}/forecast?{query}", headers=bearer).get_json()["path"]
    assert [step["horizon"] for step in path] == horizons
    assert [list(step["intervals"]) for step in path] == [levels] * len(horizons)


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("horizon=0", ["horizon"]),
        ("horizon=4", ["horizon"]),
        ("horizon=-1", ["horizon"]),
        ("horizon=1.0", ["horizon"]),
        ("horizon=two", ["horizon"]),
        ("horizon=", ["horizon"]),
        ("horizon=³", ["horizon"]),
        ("horizon=1&horizon=2", ["horizon"]),
        ("horizon=" + "9" * 5000, ["horizon"]),
        ("level=90", ["level"]),
        ("level=80&level=x", ["level"]),
        ("level=", ["level"]),
        ("currency=eur", ["currency"]),
        ("exchange_rate=5.5", ["exchange_rate"]),
        ("currency=brl&exchange_rate=0", ["exchange_rate"]),
        ("currency=brl&exchange_rate=5e-324", ["exchange_rate"]),
        ("currency=brl&exchange_rate=10001", ["exchange_rate"]),
        ("currency=brl&exchange_rate=nan", ["exchange_rate"]),
        ("currency=brl&exchange_rate=1e999", ["exchange_rate"]),
        ("currency=brl&exchange_rate=5,5", ["exchange_rate"]),
        ("currency=brl&exchange_rate=5&exchange_rate=6", ["exchange_rate"]),
        ("per=litre", ["per"]),
        ("terms=", ["terms"]),
        ("scenario=x", ["scenario"]),
        ("horizons=1", ["horizons"]),
        ("horizon=9&level=1&currency=eur&terms=old&x=1", ["x", "horizon", "level", "currency", "terms"]),
    ],
)
def test_wrong_question_is_422_and_names_each_field(
    client: FlaskClient, bearer: dict[str, str], query: str, wrong: list[str]
) -> None:
    assert fields(client.get(f"/v1/series/{CHILE}/forecast?{query}", headers=bearer)) == wrong


def test_error_says_what_was_expected_and_what_arrived(client: FlaskClient, bearer: dict[str, str]) -> None:
    query = "horizon=9&currency=eur"
    content = problem(client.get(f"/v1/series/{CHILE}/forecast?{query}", headers=bearer), 422)
    assert content["errors"] == [
        {"field": "horizon", "expected": "an integer from 1 to 3", "got": 9},
        {"field": "currency", "expected": "usd or brl", "got": "eur"},
    ]
    assert content["detail"].startswith("horizon: expected an integer from 1 to 3, got 9; currency: ")


@pytest.mark.parametrize("path", ["/v1/series", f"/v1/series/{CHILE}"])
def test_unknown_query_parameter_is_422(client: FlaskClient, bearer: dict[str, str], path: str) -> None:
    assert fields(client.get(f"{path}?country=CHL", headers=bearer)) == ["country"]


@pytest.mark.parametrize("tail", ["", "/forecast"])
def test_unknown_series_is_404_and_says_how_to_list_them(
    client: FlaskClient, bearer: dict[str, str], tail: str
) -> None:
    content = problem(client.get(f"/v1/series/imports.beer{tail}", headers=bearer), 404)
    assert content["detail"] == "There is no series imports.beer; GET /v1/series lists them."
    assert [error["field"] for error in content["errors"]] == ["series"]


def test_series_that_is_not_forecast_is_404_with_the_reason(client: FlaskClient, bearer: dict[str, str]) -> None:
    short = problem(client.get("/v1/series/exports.fresh_grapes.NLD/forecast", headers=bearer), 404)
    assert "no trade in 2023 (years with a price: 5, the last 2004)" in short["detail"]
    other = problem(client.get("/v1/series/imports.table_wine.OTHER/forecast", headers=bearer), 404)
    assert "it is not one foreign country" in other["detail"]


# ---- predictions


def test_prediction_is_the_same_answer_as_the_forecast(client: FlaskClient, bearer: dict[str, str]) -> None:
    body = {"series": CHILE, "horizon": 2, "level": [95], "currency": "usd", "terms": "nominal", "scenario": None}
    predicted = client.post("/v1/predictions", headers=bearer, json=body)
    asked = client.get(f"/v1/series/{CHILE}/forecast?horizon=2&level=95", headers=bearer)
    assert predicted.status_code == 200
    assert predicted.data == asked.data


def test_many_predictions_come_in_the_order_asked(client: FlaskClient, bearer: dict[str, str]) -> None:
    items = [{"series": CHILE, "level": 80}, {"series": "imports.table_wine", "horizon": 1}, {"series": CHILE}]
    answer = client.post("/v1/predictions", headers=bearer, json={"items": items}).get_json()
    assert list(answer) == ["items"]
    assert [item["series"] for item in answer["items"]] == [CHILE, "imports.table_wine", CHILE]
    assert [len(item["path"]) for item in answer["items"]] == [3, 1, 3]
    assert list(answer["items"][0]["path"][0]["intervals"]) == ["80"]


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, ["series"]),
        ([], ["body"]),
        ("text", ["body"]),
        ({"series": 7}, ["series"]),
        ({"series": ["imports.table_wine"]}, ["series"]),
        ({"series": CHILE, "horizon": "2"}, ["horizon"]),
        ({"series": CHILE, "horizon": 2.0}, ["horizon"]),
        ({"series": CHILE, "horizon": True}, ["horizon"]),
        ({"series": CHILE, "horizon": None}, ["horizon"]),
        ({"series": CHILE, "level": []}, ["level"]),
        ({"series": CHILE, "level": [80, [95]]}, ["level"]),
        ({"series": CHILE, "level": {"80": 1}}, ["level"]),
        ({"series": CHILE, "currency": {}}, ["currency"]),
        ({"series": CHILE, "terms": ["real"]}, ["terms"]),
        ({"series": CHILE, "level": [80.0]}, ["level"]),
        ({"series": CHILE, "level": [True]}, ["level"]),
        ({"series": CHILE, "exchange_rate": None}, ["exchange_rate"]),
        ({"series": CHILE, "exchange_rate": "5"}, ["exchange_rate"]),
        ({"series": CHILE, "exchange_rate": True}, ["exchange_rate"]),
        ({"series": CHILE, "scenario": []}, ["scenario"]),
        ({"series": CHILE, "scenario": {"rain": {"pct": 1}}}, ["scenario"]),
        ({"series": CHILE, "scenario": {"harvest": -10}}, ["scenario.harvest"]),
        ({"series": CHILE, "scenario": {"harvest": {}}}, ["scenario.harvest"]),
        ({"series": CHILE, "scenario": {"harvest": {"pct": "-10"}}}, ["scenario.harvest.pct"]),
        ({"series": CHILE, "scenario": {"harvest": {"pct": -100}}}, ["scenario.harvest.pct"]),
        ({"series": CHILE, "scenario": {"harvest": {"pct": 1, "level": {"2024": 1}}}}, ["scenario.harvest.level"]),
        ({"series": CHILE, "scenario": {"harvest": {"level": {}}}}, ["scenario.harvest.level"]),
        ({"series": CHILE, "scenario": {"harvest": {"level": {"2024": 0}}}}, ["scenario.harvest.level.2024"]),
        ({"series": CHILE, "scenario": {"harvest": {"level": {"soon": 1}}}}, ["scenario.harvest.level.soon"]),
        ({"series": CHILE, "scenario": {"harvest": {"level": {"2031": 1}}}}, ["scenario.harvest.level"]),
        ({"series": CHILE, "scenario": {"harvest": {"pct": 1e9}}}, ["scenario.harvest.pct"]),
        ({"series": CHILE, "scenario": {"sales": {"pct": 1}}}, ["scenario.sales"]),
        ({"series": CHILE, "scenario": {}}, ["scenario"]),
        ({"series": CHILE, "horizont": 2}, ["horizont"]),
        ({"items": []}, ["items"]),
        ({"items": {}}, ["items"]),
        ({"items": [{"series": CHILE}] * 1001}, ["items"]),
        ({"items": [{"series": CHILE}], "horizon": 2}, ["horizon"]),
        ({"items": [{"series": CHILE}, 3]}, ["items[1]"]),
        ({"items": [{"series": CHILE, "horizon": 9}, {"serie": CHILE}]},
         ["items[0].horizon", "items[1].serie", "items[1].series"]),
        ({"items": [{"series": CHILE}, {"series": CHILE, "scenario": {"sales": {"pct": 1}}}]},
         ["items[1].scenario.sales"]),
        ({"items": [{"series": CHILE, "scenario": {"imports": {"pct": "1"}}}]}, ["items[0].scenario.imports.pct"]),
    ],
)  # fmt: skip
def test_wrong_body_is_422_and_names_each_field(
    client: FlaskClient, bearer: dict[str, str], body: object, wrong: list[str]
) -> None:
    assert fields(client.post("/v1/predictions", headers=bearer, json=body)) == wrong


def test_scenario_moves_the_path_and_stands_beside_the_baseline(client: FlaskClient, bearer: dict[str, str]) -> None:
    body = {"series": CHILE, "scenario": {"exchange_rate": {"pct": 20}, "harvest": {"level": {"2025": 1.5e8}}}}
    answer = client.post("/v1/predictions", headers=bearer, json=body).get_json()
    assert list(answer) == [*F_WORDS[:6], "baseline", "effects", *F_WORDS[6:]]
    plain = client.get(f"/v1/series/{CHILE}/forecast", headers=bearer).get_json()
    assert answer["baseline"] == plain["path"]
    moved = [step["forecast"] for step in answer["path"]]
    alone = 2.5 * 1.2**-0.25
    assert moved == pytest.approx([alone, alone * 0.75**0.01, alone], rel=1e-5)
    for step, base in zip(answer["path"], answer["baseline"], strict=True):
        assert math.log(step["intervals"]["80"][1] / step["forecast"]) > math.log(
            base["intervals"]["80"][1] / base["forecast"]
        )
    assert [effect["input"] for effect in answer["effects"]] == ["harvest", "exchange_rate"]
    assert [effect["distinguishable"] for effect in answer["effects"]] == [False, True]
    assert answer["effects"][1]["pct"] == pytest.approx(100 * (1.2**-0.25 - 1), rel=1e-5)
    assert "association" in answer["warnings"][1]
    harvest, rate = answer["assumptions"]["scenario"]
    assert rate["level"] == {"2024": 6.0, "2025": 6.0, "2026": 6.0}
    assert (rate["baseline"], rate["baseline_year"], rate["unit"]) == (5.0, 2023, "R$/US$")
    assert harvest["level"] == {"2024": 2e8, "2025": 1.5e8, "2026": 2e8}


def test_scenario_without_a_change_leaves_the_path_as_it_is(client: FlaskClient, bearer: dict[str, str]) -> None:
    body = {"series": CHILE, "scenario": {"harvest": {"pct": 0}}}
    answer = client.post("/v1/predictions", headers=bearer, json=body).get_json()
    assert [step["forecast"] for step in answer["path"]] == [step["forecast"] for step in answer["baseline"]]


def test_forecast_carries_the_record_of_its_own_series(client: FlaskClient, bearer: dict[str, str]) -> None:
    record = client.get(f"/v1/series/{CHILE}/forecast?horizon=2&level=95", headers=bearer).get_json()["record"]
    assert record == [{"horizon": h, "level": 95, "held": 1, "of": 1} for h in (1, 2)]


# ---- money


def asked(client: FlaskClient, bearer: dict[str, str], query: str, series: str = CHILE) -> dict:
    response = client.get(f"/v1/series/{series}/forecast?{query}", headers=bearer)
    assert response.status_code == 200, response.text
    return response.get_json()


@pytest.mark.parametrize(
    ("query", "unit", "factor"),
    [
        ("currency=brl&exchange_rate=5.25", "R$ FOB/kg", 5.25),
        ("terms=real", "US$ of 2023 FOB/kg", 300 / 330),
        ("currency=brl&terms=real&exchange_rate=5", "R$ of 2023 FOB/kg", 5 * 6600 / 7260),
        ("currency=brl&per=bottle&exchange_rate=6", "R$ FOB/bottle of 750 ml", 6.0 * 0.7425),
    ],
)
def test_converted_money_is_the_dollar_path_without_intervals(
    client: FlaskClient, bearer: dict[str, str], query: str, unit: str, factor: float
) -> None:
    answer = asked(client, bearer, query)
    assert answer["unit"] == unit
    assert [step["forecast"] for step in answer["path"]] == pytest.approx([2.5 * factor] * 3, rel=1e-5)
    assert [step["intervals"] for step in answer["path"]] == [None] * 3
    assert answer["record"] == []
    assert answer["assumptions"]["intervals"] in answer["warnings"]


@pytest.mark.parametrize(
    ("query", "unit", "rates", "factor"),
    [
        ("currency=brl", "R$ FOB/kg", (5.5, 6.0, 6.5), 1.0),
        ("currency=brl&terms=real", "R$ of 2023 FOB/kg", (5.0, 5.0, 5.0), 1.0),
        ("currency=brl&per=bottle", "R$ FOB/bottle of 750 ml", (5.5, 6.0, 6.5), 0.7425),
    ],
)
def test_reais_are_forecast_with_intervals_and_a_record_of_their_own(
    client: FlaskClient, bearer: dict[str, str], query: str, unit: str, rates: tuple[float, ...], factor: float
) -> None:
    answer = asked(client, bearer, query)
    assert answer["unit"] == unit
    for h, (step, rate) in enumerate(zip(answer["path"], rates, strict=True), start=1):
        assert step["forecast"] == pytest.approx(2.5 * rate * factor, rel=1e-5)
        assert step["intervals"]["80"] == pytest.approx(
            [2.5 / (1 + h) * rate * factor, (2.75 + h) * rate * factor], rel=1e-5
        )
    assert [row["held"] for row in answer["record"]] == [1] * 6
    assert "intervals" not in answer["assumptions"]
    assert (
        "In reais by what was known in 2023: a dollar is expected at R$ 5.50 in 2024. The intervals know that the "
        "rate is uncertain. The average of 2025, 6.00, is not in it."
    ) in answer["warnings"]


def test_scenario_moves_the_forecast_in_reais_and_its_intervals_stay(
    client: FlaskClient, bearer: dict[str, str]
) -> None:
    body = {"series": CHILE, "currency": "brl", "scenario": {"harvest": {"pct": 10}}}
    answer = client.post("/v1/predictions", headers=bearer, json=body).get_json()
    dollars = client.post("/v1/predictions", headers=bearer, json=body | {"currency": "usd"}).get_json()
    assert [step["forecast"] for step in answer["baseline"]] == [13.75, 15.0, 16.25]
    for step, base, one in zip(answer["path"], answer["baseline"], dollars["path"], strict=True):
        assert step["forecast"] / base["forecast"] == pytest.approx(one["forecast"] / 2.5, rel=1e-5)
        assert step["intervals"]["80"][1] > step["forecast"]


def test_set_without_forecasts_in_reais_is_converted_and_says_why(
    project_outputs: Path, served_set: Path, users: Path, bearer: dict[str, str]
) -> None:
    for name in ("data/forecasts/forecasts_reais", "data/backtest/backtest_reais"):
        path = project_outputs / f"{name}.parquet"
        pd.read_parquet(path).iloc[:0].to_parquet(path)
    store.switch(project_outputs, served_set)
    client = create_app({"SERVED": served_set, "USERS": users, "JWT_SECRET": SECRET}).test_client()
    answer = asked(client, bearer, "currency=brl&terms=real")
    assert answer["path"][0]["forecast"] == pytest.approx(2.5 * 6.0 * 6600 / 7260, rel=1e-5)
    assert answer["path"][0]["intervals"] is None
    assert answer["assumptions"]["exchange_rate"] == {
        "brl_per_usd": 6.0, "year": 2025, "source": "average of the year, Federal Reserve",
    }  # fmt: skip
    assert answer["assumptions"]["price_level"] == {
        "index": "ipca", "year": 2025, "base_year": 2023, "factor": 0.909091, "source": "average of the year, IBGE",
    }  # fmt: skip


def test_assumptions_say_which_rate_was_known_and_which_is_expected(
    client: FlaskClient, bearer: dict[str, str]
) -> None:
    given = asked(client, bearer, "currency=brl&terms=real")["assumptions"]
    assert given["exchange_rate"] == {
        "brl_per_usd": 5.0, "year": 2023, "source": "average of the year, Federal Reserve",
        "expected": {"2024": 5.5, "2025": 6.0, "2026": 6.5},
    }  # fmt: skip
    assert given["price_level"] == {
        "index": "ipca", "year": 2023, "base_year": 2023, "factor": 1.0, "source": "average of the year, IBGE",
    }  # fmt: skip
    own = asked(client, bearer, "currency=brl&exchange_rate=5.25")["assumptions"]["exchange_rate"]
    assert own == {"brl_per_usd": 5.25, "year": None, "source": "caller"}
    assert asked(client, bearer, "")["assumptions"] == {}


def test_money_without_a_yearly_average_is_422_and_dollars_go_on(
    project_outputs: Path, served_set: Path, users: Path, bearer: dict[str, str]
) -> None:
    path = project_outputs / "data/prices/conversion.parquet"
    pd.read_parquet(path).assign(brl_per_usd=None, us_cpi=None).astype(float).to_parquet(path)
    store.switch(project_outputs, served_set)
    client = create_app({"SERVED": served_set, "USERS": users, "JWT_SECRET": SECRET}).test_client()
    for query, field in {"currency=brl": "currency", "terms=real": "terms"}.items():
        assert fields(client.get(f"/v1/series/{CHILE}/forecast?{query}", headers=bearer)) == [field]
    assert asked(client, bearer, "currency=brl&exchange_rate=5")["path"][0]["forecast"] == 12.5
    asked(client, bearer, "")


def test_bottle_of_grapes_is_422(
    project_outputs: Path, served_set: Path, users: Path, bearer: dict[str, str]
) -> None:
    for name in ("data/prices/prices", "data/forecasts/forecasts", "data/backtest/backtest", "data/prices/index"):
        path = project_outputs / f"{name}.parquet"
        table = pd.read_parquet(path)
        for column in {"series", "product"} & set(table):
            table[column] = table[column].str.replace("table_wine", "raisins")
        table.to_parquet(path)
    store.switch(project_outputs, served_set)
    client = create_app({"SERVED": served_set, "USERS": users, "JWT_SECRET": SECRET}).test_client()
    assert fields(client.get("/v1/series/imports.raisins/forecast?per=bottle", headers=bearer)) == ["per"]


def test_bottle_of_wine_is_three_quarters_of_a_litre_and_keeps_its_intervals(
    client: FlaskClient, bearer: dict[str, str]
) -> None:
    answer, by_kg = asked(client, bearer, "per=bottle"), asked(client, bearer, "")
    for step, one in zip(answer["path"], by_kg["path"], strict=True):
        assert step["forecast"] == pytest.approx(one["forecast"] * 0.7425, rel=1e-5)
        assert step["intervals"]["95"] == pytest.approx([side * 0.7425 for side in one["intervals"]["95"]], rel=1e-5)
    assert answer["assumptions"] == {"bottle": {"litres": 0.75, "kg_per_litre": 0.99}}
    assert answer["record"] == by_kg["record"]


def test_scenario_of_the_exchange_rate_converts_its_own_path_by_that_rate(
    client: FlaskClient, bearer: dict[str, str]
) -> None:
    body = {"series": CHILE, "currency": "brl", "scenario": {"exchange_rate": {"level": {"2025": 7.5}}}}
    answer = client.post("/v1/predictions", headers=bearer, json=body).get_json()
    assert [step["forecast"] for step in answer["baseline"]] == [13.75, 15.0, 16.25]
    assert [step["intervals"] is None for step in answer["path"] + answer["baseline"]] == [True] * 3 + [False] * 3
    assert answer["assumptions"]["exchange_rate"]["expected"] == {"2024": 5.5, "2025": 6.0, "2026": 6.5}
    dollars = 2.5 * 1.5**-0.25
    assert [step["forecast"] for step in answer["path"]] == pytest.approx([12.5, dollars * 7.5, 12.5], rel=1e-5)
    assert answer["assumptions"]["exchange_rate"]["scenario"] == {"2024": 5.0, "2025": 7.5, "2026": 5.0}
    both = client.post("/v1/predictions", headers=bearer, json=body | {"exchange_rate": 5.0})
    assert fields(both) == ["exchange_rate"]


def test_sentences_come_in_the_language_that_the_caller_would_rather_have(
    client: FlaskClient, bearer: dict[str, str]
) -> None:
    for language, word in {
        "pt-BR,pt;q=0.9,en;q=0.5": "valor unitário",
        "fr, en;q=0.5": "unit value",
        "de": "unit value",
    }.items():
        headers = bearer | {"Accept-Language": language}
        answer = client.get(f"/v1/series/{CHILE}/forecast", headers=headers).get_json()
        assert word in answer["warnings"][0]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"{'series': 1}",
        b'{"series": NaN}',
        b"\xff\xfe",
        b"[" * 100_000,
        b"1" * 5000,
        b'{"series": "imports.table_wine", "series": "imports.table_wine.CHL"}',
    ],
    ids=["empty", "cut off", "quotes", "NaN", "not UTF-8", "deep", "endless number", "twice"],
)
def test_body_that_is_no_json_is_400(client: FlaskClient, bearer: dict[str, str], text: bytes) -> None:
    response = client.post("/v1/predictions", headers=bearer, data=text, content_type="application/json")
    assert fields(response, 400) == ["body"]


@pytest.mark.parametrize("number", [b"1e999", b"[1e999]", b"[]", b'"\\ud800"', b"1" + b"0" * 4000])
def test_odd_values_are_named_like_any_other(client: FlaskClient, bearer: dict[str, str], number: bytes) -> None:
    text = b'{"series": "imports.table_wine", "horizon": ' + number + b"}"
    response = client.post("/v1/predictions", headers=bearer, data=text, content_type="application/json")
    assert fields(response) == ["horizon"]


@pytest.mark.parametrize("content_type", ["text/plain", "", "application/x-www-form-urlencoded"])
def test_body_of_another_type_is_415(client: FlaskClient, bearer: dict[str, str], content_type: str) -> None:
    response = client.post("/v1/predictions", headers=bearer, data="{}", content_type=content_type)
    assert fields(response, 415) == ["Content-Type"]


def test_body_that_is_too_large_is_413(client: FlaskClient, bearer: dict[str, str]) -> None:
    text = b'{"series": "' + b"x" * 1_000_000 + b'"}'
    problem(client.post("/v1/predictions", headers=bearer, data=text, content_type="application/json"), 413)


def test_unknown_series_in_a_body_is_404_and_says_which(client: FlaskClient, bearer: dict[str, str]) -> None:
    items = [{"series": CHILE}, {"series": "imports.beer"}, {"series": "imports.table_wine.OTHER"}]
    response = client.post("/v1/predictions", headers=bearer, json={"items": items})
    assert fields(response, 404) == ["items[1].series", "items[2].series"]
    assert "GET /v1/series lists them" in response.text


# ---- tables


def rows_of(client: FlaskClient, bearer: dict[str, str], query: str) -> dict:
    response = client.get(f"/v1/tables/{query}", headers=bearer)
    assert response.status_code == 200, response.text
    return response.get_json()


def test_table_comes_in_pages_that_link_to_each_other(client: FlaskClient, bearer: dict[str, str]) -> None:
    address, seen = "/v1/tables/trade?country=CHL&per_page=40", []
    pages = 0
    while address:
        response = client.get(address, headers=bearer)
        answer = response.get_json()
        assert (answer["total"], answer["pages"]) == (108, 3)
        seen += answer["items"]
        pages += 1
        assert answer["page"] == pages
        address = answer["links"].get("next")
        if address:
            assert f'<{address}>; rel="next"' in response.headers["Link"]
    assert pages == 3
    assert [(row["flow"], row["year"]) for row in seen] == [
        (flow, year) for flow in ("exports", "imports") for year in range(1970, 2024)
    ]
    assert {row["country"] for row in seen} == {"CHL"}


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("trade", 324), ("trade?year=2023&year=2022", 12), ("trade?flow=imports&product=table_wine&year=1999", 3),
        ("production?product=white", 2), ("processing?product=merlot", 1), ("sales?product_group=table_wine", 1),
        ("totals?table=sales", 1), ("trade?flow=imports&product=fresh_grapes", 0),
    ],
)  # fmt: skip
def test_table_is_filtered(client: FlaskClient, bearer: dict[str, str], query: str, count: int) -> None:
    assert rows_of(client, bearer, query)["total"] == count


def test_missing_is_null_and_zero_is_zero_in_json_and_csv(client: FlaskClient, bearer: dict[str, str]) -> None:
    answer = rows_of(client, bearer, "production?year=2023")
    assert [row["quantity_l"] for row in answer["items"]] == [0.0, None]
    text = client.get("/v1/tables/production?format=csv", headers=bearer)
    assert text.mimetype == "text/csv"
    assert text.text.splitlines() == [
        "year,product_group,product,product_pt,quantity_l,status",
        "2022,table_wine,white,Branco,100.0,reported",
        "2023,table_wine,white,Branco,0.0,reported",
        '2023,juice,grape_juice,"Suco, integral",,not_available',
    ]
    assert 'filename="vindima-production-0123456789ab.csv"' in text.headers["Content-Disposition"]
    assert json.loads(text.headers["Provenance"]) == answer["provenance"]


def test_csv_holds_every_row_in_the_order_of_the_pages(client: FlaskClient, bearer: dict[str, str]) -> None:
    lines = client.get("/v1/tables/trade?format=csv&country=NLD&country=CHL", headers=bearer).text.splitlines()
    answer = rows_of(client, bearer, "trade?country=NLD&country=CHL&per_page=1000")
    assert len(lines) - 1 == len(answer["items"]) == 216
    assert lines[1:] == [",".join(str(value) for value in row.values()) for row in answer["items"]]


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("trade?year=2030", ["year"]), ("trade?year=x", ["year"]), ("trade?country=XXX", ["country"]),
        ("trade?cultivar=merlot", ["cultivar"]), ("production?country=CHL", ["country"]), ("trade?page=0", ["page"]),
        ("trade?page=9", ["page"]), ("trade?per_page=1001", ["per_page"]), ("trade?page=1&page=2", ["page"]),
        ("trade?format=xml", ["format"]), ("trade?format=csv&page=2", ["page"]),
        ("trade?country=%27;drop%20table%20trade", ["country"]),
    ],
)  # fmt: skip
def test_wrong_question_about_a_table_is_422_and_names_the_field(
    client: FlaskClient, bearer: dict[str, str], query: str, wrong: list[str]
) -> None:
    assert fields(client.get(f"/v1/tables/{query}", headers=bearer)) == wrong


def test_unknown_table_is_404_and_says_which_there_are(client: FlaskClient, bearer: dict[str, str]) -> None:
    content = problem(client.get("/v1/tables/users", headers=bearer), 404)
    assert content["errors"][0]["expected"] == "one of production, sales, processing, trade, totals"
    problem(client.get("/v1/tables/../users", headers=bearer), 404)


@pytest.mark.parametrize("path", ["/v1/tables/trade?year=2023", "/v1/series", f"/v1/series/{CHILE}"])
def test_answer_that_the_caller_has_already_is_304_until_the_set_is_another(
    client: FlaskClient, bearer: dict[str, str], path: str, project_outputs: Path, served_set: Path
) -> None:
    first = client.get(path, headers=bearer)
    tag = first.headers["ETag"]
    again = client.get(path, headers=bearer | {"If-None-Match": tag})
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
    assert client.get(path, headers=bearer | {"If-None-Match": 'W/"other"'}).status_code == 200
    metrics = project_outputs / "reports/metrics.json"
    metrics.write_text(metrics.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    store.switch(project_outputs, served_set)
    client.application.extensions["vindima"].look()
    assert client.get(path, headers=bearer | {"If-None-Match": tag}).status_code == 200


def test_table_is_compressed_where_the_caller_can_read_that(client: FlaskClient, bearer: dict[str, str]) -> None:
    for form, coding, unpack in (("json", "gzip", gzip.decompress), ("csv", "deflate", zlib.decompress)):
        path = f"/v1/tables/trade?format={form}"
        plain = client.get(path, headers=bearer)
        packed = client.get(path, headers=bearer | {"Accept-Encoding": coding})
        assert packed.headers["Content-Encoding"] == coding
        assert "Accept-Encoding" in packed.headers["Vary"]
        assert unpack(packed.data) == plain.data
        assert len(packed.data) < len(plain.data) / 5


# ---- the description


def test_description_is_valid_openapi_and_its_examples_are_real_answers(
    client: FlaskClient, bearer: dict[str, str]
) -> None:
    document = client.get("/openapi.json").get_json()
    OpenAPIV31SpecValidator(document).validate()
    operation = document["paths"]["/v1/series/{series}/forecast"]["get"]
    example = operation["responses"]["200"]["content"]["application/json"]["example"]
    assert example == asked(client, bearer, "horizon=1&level=80")
    for name, example in document["paths"]["/v1/predictions"]["post"]["requestBody"]["content"]["application/json"][
        "examples"
    ].items():
        assert client.post("/v1/predictions", headers=bearer, json=example["value"]).status_code == 200, name


@pytest.mark.parametrize("inputs", [[], ["harvest"]])
def test_description_is_there_whatever_inputs_have_an_effect(
    inputs: list[str], project_outputs: Path, served_set: Path, users: Path
) -> None:
    path = project_outputs / "models/effects.parquet"
    table = pd.read_parquet(path)
    table[table["input"].isin(inputs)].to_parquet(path)
    store.switch(project_outputs, served_set)
    client = create_app({"SERVED": served_set, "USERS": users, "JWT_SECRET": SECRET}).test_client()
    described = client.get("/openapi.json")
    assert described.status_code == 200
    body = described.get_json()["paths"]["/v1/predictions"]["post"]["requestBody"]["content"]["application/json"]
    scenarios = [
        example["value"]["scenario"] for example in body["examples"].values() if "scenario" in example["value"]
    ]
    assert scenarios == [{name: {"pct": 10.0}} for name in inputs]


def test_replies_are_as_they_are_described(client: FlaskClient, bearer: dict[str, str]) -> None:
    document = client.get("/openapi.json").get_json()
    body = {"series": TOTAL, "scenario": {"exchange_rate": {"pct": -5}}}
    many = {"items": [body, {"series": CHILE, "currency": "brl"}]}
    replies = [
        ("/health/ready", "get", client.get("/health/ready")),
        ("/v1/series", "get", client.get("/v1/series", headers=bearer)),
        ("/v1/series/{series}", "get", client.get(f"/v1/series/{TOTAL}", headers=bearer)),
        ("/v1/series/{series}", "get", client.get(f"/v1/series/{CHILE}", headers=bearer)),
        ("/v1/series/{series}/forecast", "get", client.get(f"/v1/series/{TOTAL}/forecast", headers=bearer)),
        ("/v1/predictions", "post", client.post("/v1/predictions", headers=bearer, json=body)),
        ("/v1/predictions", "post", client.post("/v1/predictions", headers=bearer, json=many)),
        *((f"/v1/tables/{name}", "get", client.get(f"/v1/tables/{name}", headers=bearer)) for name in TABLES),
    ]
    for path, method, reply in replies:
        described = document["paths"][path][method]["responses"][str(reply.status_code)]["content"]
        schema = described["application/json"]["schema"] | {"components": document["components"]}
        OAS31Validator(schema).validate(reply.get_json())


def test_every_route_is_described_and_every_description_has_a_route(client: FlaskClient) -> None:
    described = {
        re.sub(r"{(\w+)}", r"<\1>", path.replace("/tables/" + path.rpartition("/")[2], "/tables/{name}"))
        for path in client.get("/openapi.json").get_json()["paths"]
    }
    routes = {str(rule) for rule in client.application.url_map.iter_rules()}
    assert routes - described == {"/", "/docs", "/docs/<path:name>", "/openapi.json"}
    assert described <= routes


def test_docs_need_nothing_from_elsewhere(client: FlaskClient) -> None:
    assert client.get("/").headers["Location"] == "docs"
    page = client.get("/docs")
    assert page.status_code == 200
    assert "'self'" in page.headers["Content-Security-Policy"]
    for name in re.findall(r'(?:href|src)="(docs/[^"]+)"', page.text):
        with client.get(f"/{name}") as file:
            assert file.status_code == 200, name
    assert "//" not in re.sub(r"<!doctype.*?>", "", page.text)
    for name in ("docs/../api.py", "docs/%2e%2e/%2e%2e/__init__.py", "docs/start.html"):
        assert client.get(f"/{name}").status_code == 404


# ---- seen from outside


def test_metrics_are_for_users_and_count_what_was_answered(client: FlaskClient, bearer: dict[str, str]) -> None:
    problem(client.get("/metrics"), 401)
    client.get(f"/v1/series/{CHILE}/forecast", headers=bearer)
    for how in ({"headers": bearer}, {"auth": ("ana", "uva isabel de 1875")}):
        text = client.get("/metrics", **how).text
        assert 'vindima_requests_total{endpoint="v1.forecast",method="GET",status="200"}' in text
        assert 'vindima_set_info{cutoff="2023",model="naive",vintage="0123456789ab"} 1.0' in text
        assert "vindima_set_refused 0.0" in text


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict]]:
    """What the log has of the requests so far."""
    written = io.StringIO()
    monkeypatch.setattr(telemetry, "lines", written)
    return lambda: [json.loads(line) for line in written.getvalue().splitlines()]


def test_each_request_has_an_id_in_its_reply_and_in_the_log(
    client: FlaskClient, bearer: dict[str, str], lines: Callable[[], list[dict]]
) -> None:
    given = client.get("/v1/series?x=secret", headers=bearer | {"X-Request-ID": "order-7"})
    made = client.get("/v1/series", headers={"X-Request-ID": "no plain\tword"})
    assert given.headers["X-Request-ID"] == "order-7"
    assert re.fullmatch("[0-9a-f]{32}", made.headers["X-Request-ID"])
    first, second = lines()
    assert list(first) == [
        "time", "level", "logger", "message", "request_id", "method", "path", "status", "ms", "address", "user",
    ]  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    said = [(one["request_id"], one["status"], one["user"], one["path"]) for one in (first, second)]
    assert said[0] == ("order-7", 422, "ana", "/v1/series")
    assert said[1] == (made.headers["X-Request-ID"], 401, None, "/v1/series")
    assert not any(bearer["Authorization"].split(".")[2] in str(one) for one in lines())


def test_replies_have_the_usual_headers_and_hsts_where_the_call_came_by_https(client: FlaskClient) -> None:
    plain = client.get("/health/live").headers
    assert plain["X-Content-Type-Options"] == "nosniff"
    assert plain["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert plain["Cache-Control"] == "no-store"
    assert "Strict-Transport-Security" not in plain
    assert "max-age" in client.get("/health/live", base_url="https://localhost").headers["Strict-Transport-Security"]


@pytest.mark.parametrize(
    ("proxies", "address", "scheme"), [(0, "127.0.0.1", "http"), (1, "10.0.0.2", "https"), (2, "203.0.113.7", "http")]
)
def test_address_and_scheme_are_taken_from_as_many_proxies_as_there_are(
    served_set: Path,
    users: Path,
    proxies: int,
    address: str,
    scheme: str,
    lines: Callable[[], list[dict]],
) -> None:
    config = {"SERVED": served_set, "USERS": users, "JWT_SECRET": SECRET, "PROXIES": proxies}
    client = create_app(config).test_client()
    headers = {"X-Forwarded-For": "198.51.100.1, 203.0.113.7, 10.0.0.2", "X-Forwarded-Proto": "https, http, https"}
    reply = client.get("/health/live", headers=headers)
    assert lines()[-1]["address"] == address
    assert ("Strict-Transport-Security" in reply.headers) == (scheme == "https")


def test_what_came_to_the_proxy_over_plain_http_is_redirected_or_refused(served_set: Path, users: Path) -> None:
    config = {"SERVED": served_set, "USERS": users, "JWT_SECRET": SECRET, "PROXIES": 1}
    client = create_app(config).test_client()
    clear, over_tls = ({"X-Forwarded-Proto": scheme, "X-Forwarded-Host": "wine.org"} for scheme in ("http", "https"))
    moved = client.get("/docs?x=1", headers=clear)
    assert (moved.status_code, moved.headers["Location"]) == (308, "https://wine.org/docs?x=1")
    for reply in (
        client.post("/v1/token", headers=clear, auth=("ana", "uva isabel de 1875")),
        client.get("/v1/series", headers=clear | {"Authorization": "Bearer x"}),
    ):
        assert (reply.status_code, reply.json["title"]) == (403, "Forbidden")
        assert "plain HTTP" in reply.json["detail"]
    assert client.post("/v1/token", headers=over_tls, auth=("ana", "uva isabel de 1875")).status_code == 200
    assert client.get("/health/live", headers=clear).status_code == 200
    assert client.get("/openapi.json").status_code == 200  # who asks from beside the service, without the proxy


@pytest.mark.parametrize("proxies", ["many", "-1", "1.5", "11", ""])
def test_number_of_proxies_that_is_none_is_refused(served_set: Path, users: Path, proxies: str) -> None:
    with pytest.raises(VindimaError, match="VINDIMA_PROXIES: expected how many proxies"):
        create_app({"SERVED": served_set, "USERS": users, "JWT_SECRET": SECRET, "PROXIES": proxies})


def test_body_that_is_not_whole_is_400(client: FlaskClient, bearer: dict[str, str]) -> None:
    text = json.dumps({"series": CHILE}).encode()
    response = client.post(
        "/v1/predictions", headers=bearer, input_stream=io.BytesIO(text), content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": str(len(text) + 10)},
    )  # fmt: skip
    assert fields(response, 400) == ["body"]


# ---- the rest


def test_unknown_address_and_method_are_problems_too(client: FlaskClient, bearer: dict[str, str]) -> None:
    problem(client.get("/nowhere"), 404)
    problem(client.get("/v1/series/a/b/c", headers=bearer), 404)
    response = client.delete("/v1/series", headers=bearer)
    problem(response, 405)
    assert "GET" in response.headers["Allow"]
    problem(client.get("/v1/token"), 405)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/series/../../etc/passwd", "/v1/series/..%2f..%2fetc%2fpasswd", "/v1/series/%00", "/v1/series/%ff%fe",
        "/v1/series/imports.table_wine%0d%0aX-Injected:%201", "/v1/series/imports.table_wine/..", "/v1/tables/%2e%2e",
        "/v1/tables/about", "/v1/tables/prices", "//v1/series", "/v1//series", "/V1/series",
        "/v1/series/" + "x" * 5000,
    ],
)  # fmt: skip
def test_path_with_a_trick_is_404(client: FlaskClient, bearer: dict[str, str], path: str) -> None:
    response = client.get(path, headers=bearer)
    if response.status_code == 308:  # slashes in a row are one
        assert response.headers["Location"].endswith("/v1/series")
    else:
        problem(response, 404)
    assert "X-Injected" not in response.headers


def test_failure_inside_is_a_500_without_a_trace_but_in_the_log(
    client: FlaskClient,
    bearer: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delattr(client.application.extensions["vindima"].answers, "listing")
    with caplog.at_level(logging.ERROR):
        content = problem(client.get("/v1/series", headers=bearer | {"X-Request-ID": "order-7"}), 500)
    assert "listing" not in json.dumps(content)
    assert "GET /v1/series failed (request order-7)" in caplog.text
    assert "listing" in caplog.text
    assert SECRET not in caplog.text
    assert bearer["Authorization"] not in caplog.text
