import base64
import json
import os
import sqlite3
import time
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner

from vindima import paths
from vindima.cli import main
from vindima.errors import VindimaError
from vindima.serving import auth

SECRET = "a secret of the tests, 32 bytes and more"
LONG = "merlot de 1999"


def claims(**changes: object) -> dict:
    whole = {"iss": "vindima", "aud": "vindima", "sub": "ana", "role": "reader", "jti": "1", "iat": 1}
    return whole | {"exp": int(time.time()) + 60} | changes


def test_user_is_verified_by_the_right_password_alone(users: Path) -> None:
    assert auth.verify(users, "ana", "uva isabel de 1875") == auth.User("ana", "reader", disabled=False)
    assert auth.verify(users, "ana", "uva Isabel de 1875") is None
    assert auth.verify(users, "bia", "uva isabel de 1875") is None
    assert auth.verify(users.with_name("none"), "ana", "uva isabel de 1875") is None


def test_unknown_user_costs_a_hash_as_a_known_one_does(users: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []
    monkeypatch.setattr(auth, "check_password_hash", lambda hashed, password: checked.append(hashed))
    auth.verify(users, "ana", "x")
    auth.verify(users, "bia", "x")
    assert [hashed.split("$")[0] for hashed in checked] == ["scrypt:32768:8:1"] * 2
    assert checked[0] != checked[1]


def test_passwords_are_kept_hashed_and_the_file_is_its_owners_alone(users: Path) -> None:
    assert b"uva isabel de 1875" not in users.read_bytes()
    if os.name == "posix":
        assert users.stat().st_mode & 0o777 == 0o600


def test_disabled_user_is_refused_and_listed_as_such(users: Path) -> None:
    auth.add(users, "Bia", LONG, role="operator")
    auth.disable(users, "ana")
    assert auth.verify(users, "ana", "uva isabel de 1875") is None
    assert auth.list_users(users) == [
        auth.User("Bia", "operator", disabled=False),
        auth.User("ana", "reader", disabled=True),
    ]


def test_no_file_of_users_is_a_list_without_users(tmp_path: Path) -> None:
    assert auth.list_users(tmp_path / "none.sqlite") == []
    assert not (tmp_path / "none.sqlite").exists()


@pytest.mark.parametrize(
    ("name", "password", "role", "said"),
    [
        ("ana", LONG, "reader", "user ana exists already in .*users.sqlite"),
        ("a:b", LONG, "reader", "user name: expected printable characters without a colon, got 'a:b'"),
        ("", LONG, "reader", "user name: expected"),
        ("a\nb", LONG, "reader", "user name: expected"),
        ("bia", "", "reader", "user bia: expected a password of 12 characters or more, got 0"),
        ("bia", "uva isabel!", "reader", "user bia: expected a password of 12 characters or more, got 11"),
        ("bia", LONG, "admin", "user bia: expected the role reader or operator, got 'admin'"),
    ],
)
def test_add_refuses_with_a_sentence(users: Path, name: str, password: str, role: str, said: str) -> None:
    with pytest.raises(VindimaError, match=said) as refused:
        auth.add(users, name, password, role)
    assert not password or password not in str(refused.value)
    assert len(auth.list_users(users)) == 1


def test_password_of_twelve_characters_is_long_enough(users: Path) -> None:
    auth.add(users, "bia", "uva isabel 2")
    assert auth.verify(users, "bia", "uva isabel 2")


def test_disabling_an_unknown_user_says_how_to_see_who_there_is(users: Path) -> None:
    with pytest.raises(VindimaError, match=r"no user bia in .*`vindima users list`"):
        auth.disable(users, "bia")


def test_file_that_holds_no_users_is_named(tmp_path: Path) -> None:
    path = tmp_path / "users.sqlite"
    path.write_bytes(b"this is no database at all " * 50)
    with pytest.raises(VindimaError, match=r"users\.sqlite cannot be used as the file of users"):
        auth.verify(path, "ana", "x")
    with pytest.raises(VindimaError, match="cannot be used as the file of users: No such file"):
        auth.add(tmp_path / "none" / "users.sqlite", "ana", LONG)


@pytest.mark.parametrize("secret", [None, "", "thirty-one-bytes-are-not-enough"])
def test_secret_that_is_absent_or_short_is_refused_without_being_shown(secret: str | None) -> None:
    with pytest.raises(VindimaError, match=r"secrets\.token_urlsafe") as refused:
        auth.check_secret(secret)
    assert not secret or secret not in str(refused.value)


def test_secret_is_measured_in_bytes() -> None:
    assert auth.check_secret("ü" * 16) == "ü" * 16


def test_token_says_who_for_how_long_and_is_never_the_same() -> None:
    user = auth.User("ana", "operator", disabled=False)
    first, second = (auth.read_token(auth.issue_token(user, SECRET), SECRET) for _ in range(2))
    assert {name: first[name] for name in ("iss", "aud", "sub", "role")} == {
        "iss": "vindima",
        "aud": "vindima",
        "sub": "ana",
        "role": "operator",
    }
    assert first["exp"] - first["iat"] == auth.TOKEN_SECONDS
    assert first["jti"] != second["jti"]


@pytest.mark.parametrize(
    ("content", "key", "algorithm"),
    [
        (claims(), "another secret that is long enough too", "HS256"),
        (claims(), SECRET, "HS512"),
        (claims(), "", "none"),
        (claims(iss="other"), SECRET, "HS256"),
        (claims(aud="other"), SECRET, "HS256"),
        (claims(exp=1), SECRET, "HS256"),
        (claims(sub=1), SECRET, "HS256"),
        *(({k: v for k, v in claims().items() if k != name}, SECRET, "HS256") for name in claims()),
    ],
)
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_token_that_is_not_quite_ours_is_refused(content: dict, key: str, algorithm: str) -> None:
    parts = [{"alg": algorithm, "typ": "JWT"}, content]
    if isinstance(content.get("sub"), int):  # PyJWT does not sign it
        plain = ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts)
        signature = jwt.get_algorithm_by_name("HS256").sign(plain.encode(), SECRET.encode())
        token = f"{plain}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
    else:
        token = jwt.encode(content, key, algorithm=algorithm)
    with pytest.raises(jwt.InvalidTokenError):
        auth.read_token(token, SECRET)


def test_token_whose_claims_are_all_right_is_read() -> None:
    assert auth.read_token(jwt.encode(claims(), SECRET, algorithm="HS256"), SECRET)["sub"] == "ana"


def test_users_are_added_listed_and_disabled_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "users.sqlite"
    monkeypatch.setattr(paths, "USERS", path)
    run = CliRunner().invoke
    added = run(main, ["users", "add", "ana", "--password-stdin"], input="uva isabel de 1875\n")
    assert (added.exit_code, added.output) == (0, "added ana (reader)\n")
    asked = run(main, ["users", "add", "bia", "--role", "operator"], input=f"{LONG}\n{LONG}\n")
    assert asked.exit_code == 0
    assert LONG not in asked.output
    assert run(main, ["users", "disable", "bia"]).output == "disabled bia\n"
    assert run(main, ["users", "list"]).output == "ana\treader\nbia\toperator\tdisabled\n"
    assert auth.verify(path, "ana", "uva isabel de 1875")
    again = run(main, ["users", "add", "ana", "--password-stdin"], input=f"{LONG}\n")
    assert again.exit_code == 1
    assert again.output == f"vindima: user ana exists already in {path}\n"


def test_verification_leaves_no_open_connection_behind(users: Path) -> None:
    auth.verify(users, "ana", "uva isabel de 1875")
    with sqlite3.connect(users, isolation_level="EXCLUSIVE", timeout=0) as database:
        database.execute("begin exclusive")
    database.close()
