import json
import logging
import time
from http import HTTPStatus
from pathlib import Path

import jwt
import pandas as pd
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from vindima.errors import VindimaError
from vindima.serving import auth, store
from vindima.serving.api import create_app

SECRET = "a secret of the tests, 32 bytes and more"
CHILE = "imports.table_wine.CHL"
TOTAL = "imports.table_wine"
F_WORDS = ["series", "currency", "terms", "unit", "path", "assumptions", "warnings", "provenance"]


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
    assert client.get("/health/ready").json == {"status": "ready"}


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
    }
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
    words = ["series", "flow", "product", "country", "first_year", "last_year"]
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
    assert item | {"price_and_mix": None} == usual_item | {"price_and_mix": None}
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


def test_country_has_neither_index_nor_split_and_no_years_to_choose(
    client: FlaskClient, bearer: dict[str, str]
) -> None:
    (item,) = client.get(f"/v1/series/{CHILE}", headers=bearer).get_json()["items"]
    assert (item["index"], item["price_and_mix"]) == (None, None)
    content = problem(client.get(f"/v1/series/{CHILE}?from=2014&to=2023", headers=bearer), 422)
    assert [error["field"] for error in content["errors"]] == ["from", "to"]
    assert "only a total" in content["errors"][0]["expected"]


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
            "intervals": {"80": [2.25 - h, 2.75 + h], "95": [2.0 - h, 3.0 + h]},
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
        ("currency=brl", ["currency"]),
        ("currency=eur", ["currency"]),
        ("terms=real", ["terms"]),
        ("terms=", ["terms"]),
        ("scenario=x", ["scenario"]),
        ("horizons=1", ["horizons"]),
        ("horizon=9&level=1&currency=brl&terms=real&x=1", ["x", "horizon", "level", "currency", "terms"]),
    ],
)
def test_wrong_question_is_422_and_names_each_field(
    client: FlaskClient, bearer: dict[str, str], query: str, wrong: list[str]
) -> None:
    assert fields(client.get(f"/v1/series/{CHILE}/forecast?{query}", headers=bearer)) == wrong


def test_error_says_what_was_expected_and_what_arrived(client: FlaskClient, bearer: dict[str, str]) -> None:
    query = "horizon=9&currency=brl"
    content = problem(client.get(f"/v1/series/{CHILE}/forecast?{query}", headers=bearer), 422)
    assert content["errors"] == [
        {"field": "horizon", "expected": "an integer from 1 to 3", "got": 9},
        {"field": "currency", "expected": "usd (brl is not available yet)", "got": "brl"},
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
        ({"series": CHILE, "terms": "real"}, ["terms"]),
        ({"series": CHILE, "scenario": {"harvest": {"pct": -10}}}, ["scenario"]),
        ({"series": CHILE, "scenario": {}}, ["scenario"]),
        ({"series": CHILE, "horizont": 2}, ["horizont"]),
        ({"items": []}, ["items"]),
        ({"items": {}}, ["items"]),
        ({"items": [{"series": CHILE}] * 1001}, ["items"]),
        ({"items": [{"series": CHILE}], "horizon": 2}, ["horizon"]),
        ({"items": [{"series": CHILE}, 3]}, ["items[1]"]),
        ({"items": [{"series": CHILE, "horizon": 9}, {"serie": CHILE}]},
         ["items[0].horizon", "items[1].serie", "items[1].series"]),
        ({"items": [{"series": CHILE, "scenario": {"imports": {"pct": 1}}}]}, ["items[0].scenario"]),
    ],
)  # fmt: skip
def test_wrong_body_is_422_and_names_each_field(
    client: FlaskClient, bearer: dict[str, str], body: object, wrong: list[str]
) -> None:
    assert fields(client.post("/v1/predictions", headers=bearer, json=body)) == wrong


def test_scenario_is_said_to_be_not_available_yet(client: FlaskClient, bearer: dict[str, str]) -> None:
    body = {"series": CHILE, "scenario": {"harvest": {"pct": -10}}}
    (error,) = problem(client.post("/v1/predictions", headers=bearer, json=body), 422)["errors"]
    assert error["field"] == "scenario"
    assert "not available yet" in error["expected"]


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"{'series': 1}", b'{"series": NaN}', b"\xff\xfe", b"[" * 100_000, b"1" * 5000],
    ids=["empty", "cut off", "quotes", "NaN", "not UTF-8", "deep", "endless number"],
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


# ---- the rest


def test_unknown_address_and_method_are_problems_too(client: FlaskClient, bearer: dict[str, str]) -> None:
    problem(client.get("/nowhere"), 404)
    problem(client.get("/v1/series/a/b/c", headers=bearer), 404)
    response = client.delete("/v1/series", headers=bearer)
    problem(response, 405)
    assert "GET" in response.headers["Allow"]
    problem(client.get("/v1/token"), 405)


def test_failure_inside_is_a_500_without_a_trace_but_in_the_log(
    client: FlaskClient,
    bearer: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delattr(client.application.extensions["vindima"], "listing")
    with caplog.at_level(logging.ERROR):
        content = problem(client.get("/v1/series", headers=bearer), 500)
    assert "listing" not in json.dumps(content)
    assert "GET /v1/series failed" in caplog.text
    assert "listing" in caplog.text
    assert SECRET not in caplog.text
    assert bearer["Authorization"] not in caplog.text
