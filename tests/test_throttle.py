import json
import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Flask
from werkzeug.exceptions import TooManyRequests

from vindima.errors import VindimaError
from vindima.serving import auth, throttle
from vindima.serving.api import create_app

SECRET = "a secret of the tests, 32 bytes and more"
RIGHT, WRONG = "uva isabel de 1875", "uva niagara de 1894"


@pytest.fixture
def weighed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that were weighed; not really, for speed: ana's is right."""
    passwords: list[str] = []

    def check(hashed: str, password: str) -> bool:
        passwords.append(password)
        return password == RIGHT

    monkeypatch.setattr(auth, "check_password_hash", check)
    return passwords


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time that attempts are counted by."""
    now = SimpleNamespace(seconds=1_800_000_000.0)
    monkeypatch.setattr(throttle, "time", lambda: now.seconds)
    return now


@pytest.fixture
def app(users: Path, tmp_path: Path) -> Flask:
    return create_app({"SERVED": tmp_path / "none", "USERS": users, "JWT_SECRET": SECRET})


def ask(app: Flask, name: str = "ana", password: str = WRONG, address: str = "192.0.2.1") -> int:
    client = app.test_client()
    return client.post("/v1/token", auth=(name, password), environ_base={"REMOTE_ADDR": address}).status_code


def fail(users: Path, address: str | None = "192.0.2.1", name: str = "ana") -> None:
    with throttle.attempt(users, SECRET, address, name):
        pass


def rows(users: Path) -> int:
    with closing(sqlite3.connect(throttle.beside(users))) as database:
        return database.execute("select count(*) from attempts").fetchone()[0]


# ---- what is refused, and for how long


def test_eleventh_wrong_password_of_a_minute_is_not_weighed(
    app: Flask, weighed: list, clock: SimpleNamespace
) -> None:
    assert [ask(app) for _ in range(12)] == [401] * 10 + [429] * 2
    assert len(weighed) == 10
    clock.seconds += 61
    assert [ask(app) for _ in range(11)] == [401] * 10 + [429]


def test_right_password_is_refused_during_the_slowdown_and_taken_after_it(
    app: Flask, weighed: list, clock: SimpleNamespace
) -> None:
    for _ in range(10):
        ask(app)
    assert ask(app, password=RIGHT) == 429
    assert RIGHT not in weighed
    clock.seconds += 61
    assert ask(app, password=RIGHT) == 200


def test_refusal_is_a_problem_document_that_says_how_long_to_wait(
    app: Flask, weighed: list, clock: SimpleNamespace
) -> None:
    for _ in range(10):
        ask(app)
    clock.seconds += 20.5
    response = app.test_client().post("/v1/token", auth=("ana", RIGHT), environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert response.status_code == 429
    assert response.mimetype == "application/problem+json"
    assert response.headers["Retry-After"] == "40"
    content = json.loads(response.data)
    assert content["status"] == 429
    assert content["detail"].endswith("wait 40 s.")


def test_hundred_wrong_passwords_an_hour_are_all_that_are_weighed(
    app: Flask, weighed: list, clock: SimpleNamespace
) -> None:
    for _ in range(30):
        for _ in range(11):
            ask(app)
        clock.seconds += 61
    assert len(weighed) == 100
    clock.seconds += 3600
    assert ask(app, password=RIGHT) == 200


def test_address_is_slowed_whichever_users_it_tries(app: Flask, weighed: list) -> None:
    assert [ask(app, name=f"user{i}") for i in range(12)] == [401] * 10 + [429] * 2
    assert ask(app, password=RIGHT) == 429
    assert ask(app, password=RIGHT, address="192.0.2.2") == 200


def test_user_is_slowed_whichever_addresses_try(app: Flask, weighed: list) -> None:
    assert [ask(app, address=f"192.0.2.{i}") for i in range(12)] == [401] * 10 + [429] * 2
    assert ask(app, password=RIGHT, address="198.51.100.1") == 429
    assert ask(app, name="bia", address="198.51.100.1") == 401


def test_unknown_user_is_slowed_as_a_known_one_is(app: Flask, weighed: list) -> None:
    for name in ("ana", "nobody"):
        assert [ask(app, name=name, address=f"192.0.2.{i}") for i in range(11)] == [401] * 10 + [429]
        with closing(sqlite3.connect(throttle.beside(app.config["USERS"]))) as database, database:
            database.execute("delete from attempts")


def test_those_who_know_the_password_are_never_slowed(app: Flask, weighed: list) -> None:
    for _ in range(3):
        ask(app)
    assert [ask(app, password=RIGHT) for _ in range(150)] == [200] * 150
    assert [ask(app) for _ in range(8)] == [401] * 7 + [429]


def test_those_who_know_the_password_may_come_all_at_once(app: Flask, weighed: list) -> None:
    with ThreadPoolExecutor(40) as threads:
        assert set(threads.map(lambda _: ask(app, password=RIGHT), range(80))) == {200}


def test_call_without_a_name_counts_for_nothing(app: Flask, weighed: list) -> None:
    assert {ask(app, name="", password="") for _ in range(30)} == {401}
    assert app.test_client().post("/v1/token").status_code == 401
    assert ask(app, password=RIGHT) == 200


def test_token_opens_the_data_during_the_slowdown(app: Flask, weighed: list) -> None:
    token = auth.issue_token(app.config["USERS"], SECRET, auth.User("ana", "reader", disabled=False))
    for _ in range(20):
        ask(app)
    response = app.test_client().get(
        "/v1/series", headers={"Authorization": f"Bearer {token}"}, environ_base={"REMOTE_ADDR": "192.0.2.1"}
    )
    assert response.status_code == 503  # there is no set; a refused token would be 401, a slowed one 429


# ---- who counts as one


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("2001:db8::1", "2001:0DB8:0:0::0001", True),
        ("fe80::1%eth0", "fe80::2", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        (None, "", True),
        ("no address", "nor this", False),
    ],
)
def test_addresses_of_one_subscriber_count_as_one(users: Path, one: str | None, other: str, same: bool) -> None:
    for i in range(10):
        fail(users, one, f"user{i}")
    if same:
        with pytest.raises(TooManyRequests):
            fail(users, other, "another")
    else:
        fail(users, other, "another")


def test_odd_names_are_counted_too(users: Path) -> None:
    for name in ("\ud800", "\0", "x" * 100_000, "' or 1=1 --", "ã"):
        for i in range(10):
            fail(users, f"192.0.2.{i}", name)
        with pytest.raises(TooManyRequests):
            fail(users, "198.51.100.1", name)
        throttle.beside(users).unlink()


# ---- many at once


def test_sixty_wrong_passwords_at_once_are_weighed_ten_times_and_two_at_a_time(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once, most, total, lock = 0, 0, 0, threading.Lock()

    def slow(hashed: str, password: str) -> bool:
        nonlocal at_once, most, total
        with lock:
            at_once, total = at_once + 1, total + 1
            most = max(most, at_once)
        time.sleep(0.02)
        with lock:
            at_once -= 1
        return False

    monkeypatch.setattr(auth, "check_password_hash", slow)
    with ThreadPoolExecutor(60) as threads:
        answers = Counter(threads.map(lambda _: ask(app), range(60)))
    assert answers == {401: 10, 429: 50}
    assert total == 10
    assert most == throttle.WEIGHED_AT_ONCE == 2


def test_two_processes_count_together(users: Path) -> None:
    program = """
import pathlib, sys
from werkzeug.exceptions import TooManyRequests
from vindima.serving import throttle
weighed = 0
for i in range(30):
    try:
        with throttle.attempt(pathlib.Path(sys.argv[1]), sys.argv[2], "192.0.2.1", "ana"):
            weighed += 1
    except TooManyRequests:
        pass
print(weighed)
"""
    started = [
        subprocess.Popen([sys.executable, "-c", program, users, SECRET], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert sum(int(process.communicate(timeout=60)[0]) for process in started) == 10


def test_place_that_does_not_come_free_is_503_and_counts_for_nothing(
    app: Flask, weighed: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "WAIT_SECONDS", 0.05)
    with throttle._place(), throttle._place():
        answers = [app.test_client().post("/v1/token", auth=("ana", "wrong")) for _ in range(12)]
    assert {answer.status_code for answer in answers} == {503}
    assert answers[0].mimetype == "application/problem+json"
    assert float(answers[0].headers["Retry-After"]) > 0
    assert weighed == []
    assert ask(app, password=RIGHT, address="127.0.0.1") == 200


def test_who_is_slowed_waits_in_no_line(users: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(10):
        fail(users)
    monkeypatch.setattr(throttle, "WAIT_SECONDS", 0.05)
    with throttle._place(), throttle._place(), pytest.raises(TooManyRequests):
        fail(users)


def test_attempt_that_is_refused_in_the_line_counts_for_nothing(users: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(10):
        fail(users, f"192.0.2.{i}")
    with monkeypatch.context() as patched:
        patched.setattr(throttle.FixedWindowRateLimiter, "test", lambda *_: True)  # as it was before the others came
        for _ in range(10):
            with pytest.raises(TooManyRequests):
                fail(users, "198.51.100.1")
    fail(users, "198.51.100.1", "bia")


def test_line_that_is_too_long_is_503_without_waiting(
    app: Flask, weighed: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "_line", threading.BoundedSemaphore(1))
    with throttle._place():
        begun = time.monotonic()
        assert ask(app, password=RIGHT) == 503
    assert time.monotonic() - begun < throttle.WAIT_SECONDS / 2
    assert ask(app, password=RIGHT) == 200


def test_places_come_free_when_weighing_fails(users: Path) -> None:
    for i in range(3 * throttle.WEIGHED_AT_ONCE):
        with suppress(RuntimeError), throttle.attempt(users, SECRET, f"192.0.2.{i}", "ana"):
            raise RuntimeError
    fail(users)


# ---- the file


def test_file_is_its_owners_alone_and_tells_no_name_address_or_secret(app: Flask, weighed: list) -> None:
    ask(app, name="isabel.the.user")
    path = throttle.beside(app.config["USERS"])
    assert path.name == "users.sqlite-attempts"
    content = path.read_bytes()
    for word in (b"isabel", b"192.0.2.1", b"192", SECRET.encode(), WRONG.encode()):
        assert word not in content
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600


def test_counts_that_have_ended_are_deleted(users: Path, clock: SimpleNamespace) -> None:
    for i in range(50):
        fail(users, f"2001:db8:0:{i:x}::1", f"user{i}")
    assert rows(users) == 200
    size = throttle.beside(users).stat().st_size
    clock.seconds += 61
    fail(users)
    assert rows(users) == 100 + 4
    for _ in range(5):
        clock.seconds += 3601
        for i in range(50):
            fail(users, f"2001:db8:1:{i:x}::1", f"name{i}")
    assert rows(users) == 200
    assert throttle.beside(users).stat().st_size <= size


def test_refused_attempts_take_no_room(users: Path) -> None:
    for i in range(50):
        with suppress(TooManyRequests):
            fail(users, name=f"user{i}")
    assert rows(users) == 2 + 2 * 10


def test_damaged_file_begins_anew(app: Flask, weighed: list) -> None:
    throttle.beside(app.config["USERS"]).write_bytes(b"this is no database at all " * 50)
    assert [ask(app, password=RIGHT) for _ in range(2)] == [503, 200]


def test_file_that_cannot_be_used_is_named(users: Path) -> None:
    throttle.beside(users).mkdir()
    with pytest.raises(VindimaError, match=r"users\.sqlite-attempts cannot be used as the file of attempts"):
        fail(users)
    with pytest.raises(VindimaError, match=r"cannot be used as the file of attempts: .*No such file"):
        fail(users.parent / "none" / "users.sqlite")


def test_storage_keeps_what_limits_asks_of_one(users: Path, clock: SimpleNamespace) -> None:
    with closing(throttle.Attempts(throttle.beside(users))) as storage:
        assert storage.check()
        assert storage.get_expiry("a") == clock.seconds
        assert [storage.incr("a", 60), storage.incr("a", 60, 2), storage.incr("b", 60)] == [1, 3, 1]
        assert storage.get_expiry("a") == clock.seconds + 60
        storage.decr("b")
        storage.decr("b")
        assert (storage.get("a"), storage.get("b")) == (3, 0)
        storage.clear("a")
        assert storage.get("a") == 0
        assert storage.reset() == 1


def test_no_log_and_no_refusal_shows_who_tried_what(
    app: Flask, weighed: list, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = app.test_client()
    said = [client.post("/v1/token", auth=("isabel.the.user", "a password of hers")) for _ in range(12)]
    assert said[-1].status_code == 429
    for text in (caplog.text, said[0].text, said[-1].text):
        assert "isabel" not in text
        assert "hers" not in text
        assert "127.0.0.1" not in text


def test_nothing_heavy_is_imported_to_know_who_asks() -> None:
    heavy = {"pandas", "numpy", "scipy", "pandera", "pyarrow"}
    program = f"import sys, vindima.serving.auth; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
