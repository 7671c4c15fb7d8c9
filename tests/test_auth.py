import base64
import json
import math
import os
import re
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa

from vindima import paths
from vindima.cli import main
from vindima.errors import VindimaError
from vindima.serving import auth
from vindima.serving.api import create_app

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


def test_users_and_keys_of_another_file_take_the_place_of_those_here(users: Path, tmp_path: Path) -> None:
    there = tmp_path / "there.sqlite"
    auth.add(there, "bia", LONG, role="operator")
    kept = auth.add_key(users, SECRET)
    auth.replace(users, auth.content(there))
    assert [user.name for user in auth.list_users(users)] == ["bia"]
    assert auth.verify(users, "bia", LONG) == auth.User("bia", "operator", disabled=False)
    assert [key.id for key in auth.list_keys(users, SECRET)] == [kept]
    made = auth.add_key(there, SECRET)
    auth.replace(users, auth.content(there))
    assert [key.id for key in auth.list_keys(users, SECRET)] == [made]


@pytest.mark.parametrize("content", [b"no database", "another database"])
def test_what_is_no_file_of_users_takes_no_place(users: Path, tmp_path: Path, content: bytes | str) -> None:
    before = users.read_bytes()
    if isinstance(content, str):
        with closing(sqlite3.connect(tmp_path / "other")) as database:
            database.execute("create table users (name text)")
            content = database.serialize()
    with pytest.raises(VindimaError, match="is no file of users"):
        auth.replace(users, content)
    assert users.read_bytes() == before
    with pytest.raises(VindimaError, match="cannot be used as the file of users"):
        auth.content(tmp_path / "none")


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


# ---- tokens


@pytest.fixture
def keyed(users: Path) -> Path:
    """The file of users with its first key."""
    auth.prepare(users, SECRET)
    return users


def sealed(users: Path) -> dict[str, bytes]:
    """The keys as they are stored, by id, the oldest first."""
    with closing(sqlite3.connect(users)) as database:
        return dict(database.execute("select id, sealed from keys order by made"))


def opened(users: Path) -> tuple[str, bytes]:
    """The id of the first key, and what it signs with."""
    key, stored = next(iter(sealed(users).items()))
    found = auth._opened(SECRET, key, stored)
    assert found
    return key, found


def supersede(users: Path, key: str, seconds_ago: float) -> None:
    with closing(sqlite3.connect(users)) as database, database:
        database.execute("update keys set superseded = ? where id = ?", (time.time() - seconds_ago, key))


def states(users: Path, secret: str = SECRET) -> list[str]:
    return [key.state.partition(" until")[0] for key in auth.list_keys(users, secret)]


def segment(content: object) -> str:
    text = content if isinstance(content, str) else json.dumps(content)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def signed(users: Path, content: object, **header: object) -> str:
    """A token that the first key signs, whatever it says; PyJWT would not make some of them."""
    key, secret = opened(users)
    plain = f"{segment({'alg': 'HS256', 'typ': 'JWT', 'kid': key} | header)}.{segment(content)}"
    signature = jwt.get_algorithm_by_name("HS256").sign(plain.encode(), secret)
    return f"{plain}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def test_token_says_who_for_how_long_by_which_key_and_is_never_the_same(keyed: Path) -> None:
    user = auth.User("ana", "operator", disabled=False)
    tokens = [auth.issue_token(keyed, SECRET, user) for _ in range(2)]
    first, second = (auth.read_token(keyed, SECRET, token) for token in tokens)
    assert {name: first[name] for name in ("iss", "aud", "sub", "role")} == {
        "iss": "vindima",
        "aud": "vindima",
        "sub": "ana",
        "role": "operator",
    }
    assert first["exp"] - first["iat"] == auth.TOKEN_SECONDS
    assert first["jti"] != second["jti"]
    assert jwt.get_unverified_header(tokens[0]) == {"alg": "HS256", "typ": "JWT", "kid": opened(keyed)[0]}


def test_no_token_outlives_the_key_that_signed_it(keyed: Path) -> None:
    user = auth.User("ana", "reader", disabled=False)
    read = auth.read_token(keyed, SECRET, auth.issue_token(keyed, SECRET, user, seconds=10 * auth.TOKEN_SECONDS))
    assert read["exp"] - read["iat"] == auth.TOKEN_SECONDS


def test_token_whose_claims_are_all_right_is_read(keyed: Path) -> None:
    assert auth.read_token(keyed, SECRET, signed(keyed, claims()))["sub"] == "ana"


@pytest.mark.parametrize(
    "content",
    [
        claims(iss="other"),
        claims(iss=["vindima"]),
        claims(aud="other"),
        claims(sub=1),
        claims(exp=1),
        claims(exp="9999999999"),
        claims(exp="soon"),
        claims(exp=math.nan),
        claims(exp=math.inf),
        claims(exp=1e300),
        claims(exp=int(time.time()) + 2 * auth.TOKEN_SECONDS),
        claims(exp=10**400),
        claims(exp=[]),
        claims(exp=int(time.time()) + 60.5),
        claims(iat="now"),
        claims(iat=math.inf),
        claims(iat=10**12),
        *({k: v for k, v in claims().items() if k != name} for name in claims()),
        [],
        "[" * 5000,
        "",
    ],
    ids=lambda content: re.sub("[0-9]{10}", "soon", json.dumps(content))[:120],  # of every worker the same
)
def test_token_of_our_key_that_says_what_we_do_not_say_is_refused(keyed: Path, content: object) -> None:
    with pytest.raises(jwt.InvalidTokenError):
        auth.read_token(keyed, SECRET, signed(keyed, content))


@pytest.mark.parametrize(
    "kid",
    [
        None,
        "",
        7,
        True,
        ["0123456789abcdef"],
        {"$ne": ""},
        "x" * 10_000,
        "../../../../dev/null",
        "/dev/null",
        "' or 1=1 --",
        "' union select zeroblob(32) --",
        "0123456789abcdef\n",
        "0123456789ABCDEF",
        "\ud800",
        "０１２３４５６７８９abcdef",
    ],
    ids=lambda kid: repr(kid)[:40].encode("ascii", "backslashreplace").decode(),
)
def test_token_whose_key_id_is_none_of_ours_is_refused(keyed: Path, kid: object) -> None:
    with pytest.raises(jwt.InvalidTokenError) as refused:
        auth.read_token(keyed, SECRET, signed(keyed, claims(), kid=kid))
    assert not isinstance(refused.value, auth.UnknownKey)


def test_token_without_a_key_id_is_refused(keyed: Path) -> None:
    for key in (opened(keyed)[1], SECRET):
        with pytest.raises(jwt.InvalidTokenError, match="names no key"):
            auth.read_token(keyed, SECRET, jwt.encode(claims(), key, algorithm="HS256"))


def test_token_of_a_key_that_there_is_not_is_told_apart(keyed: Path) -> None:
    with pytest.raises(auth.UnknownKey):
        auth.read_token(keyed, SECRET, signed(keyed, claims(), kid="0123456789abcdef"))
    with pytest.raises(auth.UnknownKey):
        auth.read_token(keyed.with_name("none"), SECRET, signed(keyed, claims()))


@pytest.mark.parametrize("algorithm", ["HS512", "HS384", "none", "None", "RS256", "", None, 1, ["HS256"]])
def test_token_of_another_algorithm_is_refused_though_our_key_signed_it(keyed: Path, algorithm: object) -> None:
    for token in (signed(keyed, claims(), alg=algorithm), signed(keyed, claims(), alg=algorithm) + "A" * 40):
        with pytest.raises(jwt.InvalidTokenError):
            auth.read_token(keyed, SECRET, token)


def test_token_that_another_algorithm_really_signed_is_refused(keyed: Path) -> None:
    key, secret = opened(keyed)
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    tokens = [
        jwt.encode(claims(), "", algorithm="none", headers={"kid": key}),
        jwt.encode(claims(), private, algorithm="RS256", headers={"kid": key}),
        jwt.encode(claims(), secret * 2, algorithm="HS512", headers={"kid": key}),
    ]
    for token in tokens:
        with pytest.raises(jwt.InvalidTokenError):
            auth.read_token(keyed, SECRET, token)


def test_tampered_token_is_refused(keyed: Path) -> None:
    header, _, signature = signed(keyed, claims()).split(".")
    content = segment(claims())
    turned = ("B" if signature[0] == "A" else "A") + signature[1:]
    for token in (
        f"{header}.{segment(claims(sub='bia'))}.{signature}",
        f"{header}.{content}.{turned}",
        f"{header}.{content}.",
        f"{header}.{content}",
        f"{segment('[' * 5000)}.{content}.{signature}",
        f"{segment([])}.{content}.{signature}",
        f"{header}.{content}.{signature}.{signature}",
        "..",
        "",
    ):
        with pytest.raises(jwt.InvalidTokenError):
            auth.read_token(keyed, SECRET, token)


def test_bad_tokens_are_401_over_http(keyed: Path, tmp_path: Path) -> None:
    client = create_app({"SERVED": tmp_path / "none", "USERS": keyed, "JWT_SECRET": SECRET}).test_client()
    kids = [None, 7, ["x"], "x" * 10_000, "../users.sqlite", "' or 1=1 --", "\ud800", "0123456789abcdef"]
    exps = ["soon", "9999999999", math.nan, math.inf, 1e300, 10**400, None, -1]
    tokens = [signed(keyed, claims(), kid=kid) for kid in kids]
    tokens += [signed(keyed, claims(exp=exp)) for exp in exps]
    tokens += [signed(keyed, claims(), alg=name) for name in ("none", "HS512", "RS256", 1)]
    tokens += [signed(keyed, "[" * 5000), signed(keyed, claims())[:-2], ".", "..", "a.b.c"]
    for token in tokens:
        response = client.get("/v1/series", headers={"Authorization": f"Bearer {token}"})
        assert response.status_code == 401
        assert response.mimetype == "application/problem+json"
    assert client.get("/v1/series", headers={"Authorization": f"Bearer {signed(keyed, claims())}"}).status_code == 503


# ---- keys


def test_first_key_is_made_once_in_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "users.sqlite"
    auth.prepare(path, SECRET)
    first = sealed(path)
    auth.prepare(path, SECRET)
    assert len(first) == 1
    assert sealed(path) == first
    assert auth.list_users(path) == []
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600


def test_file_of_users_from_before_there_were_keys_goes_on_working(users: Path) -> None:
    with closing(sqlite3.connect(users)) as database, database:
        database.execute("drop table keys")
    auth.prepare(users, SECRET)
    assert states(users) == ["signs"]
    assert auth.verify(users, "ana", "uva isabel de 1875")


def test_processes_that_start_at_once_end_with_one_key(tmp_path: Path) -> None:
    path = tmp_path / "users.sqlite"
    program = (
        "import sys, pathlib; from vindima.serving import auth; auth.prepare(pathlib.Path(sys.argv[1]), sys.argv[2])"
    )
    started = [subprocess.Popen([sys.executable, "-c", program, path, SECRET]) for _ in range(4)]
    assert [process.wait(timeout=60) for process in started] == [0] * 4
    assert states(path) == ["signs"]


def test_who_looks_for_a_key_while_another_makes_it_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, look = tmp_path / "users.sqlite", auth._signing

    def slowly(database: sqlite3.Connection, secret: str) -> tuple[str, bytes] | None:
        found = look(database, secret)
        time.sleep(0.05)
        return found

    monkeypatch.setattr(auth, "_signing", slowly)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: auth.prepare(path, SECRET), range(4)))
        assert states(path) == ["signs"]
        list(threads.map(lambda _: auth.add_key(path, SECRET), range(4)))
    assert states(path) == ["verifies"] * 4 + ["signs"]


def test_key_is_random_and_kept_encrypted(keyed: Path) -> None:
    first = opened(keyed)
    auth.add_key(keyed, SECRET)
    assert len(first[1]) == auth.KEY_BYTES
    stored = sealed(keyed)
    assert len(set(stored.values())) == 2
    content = keyed.read_bytes()
    assert first[1] not in content
    assert SECRET.encode() not in content


def test_key_that_is_put_under_another_id_does_not_open(keyed: Path) -> None:
    with closing(sqlite3.connect(keyed)) as database, database:
        database.execute("update keys set id = '0123456789abcdef'")
    assert states(keyed) == ["of another secret"]


def test_new_key_signs_and_the_earlier_one_verifies_until_its_tokens_have_expired(keyed: Path) -> None:
    user = auth.User("ana", "reader", disabled=False)
    old, old_token = opened(keyed)[0], auth.issue_token(keyed, SECRET, user)
    new = auth.add_key(keyed, SECRET)
    token = auth.issue_token(keyed, SECRET, user)
    assert jwt.get_unverified_header(token)["kid"] == new
    assert [(key.id, key.state.partition(" until")[0]) for key in auth.list_keys(keyed, SECRET)] == [
        (old, "verifies"),
        (new, "signs"),
    ]
    assert auth.read_token(keyed, SECRET, old_token)["sub"] == auth.read_token(keyed, SECRET, token)["sub"] == "ana"
    supersede(keyed, old, auth.TOKEN_SECONDS - 5)
    newest = auth.add_key(keyed, SECRET)
    assert list(sealed(keyed)) == [old, new, newest]
    assert auth.read_token(keyed, SECRET, old_token)
    supersede(keyed, old, auth.TOKEN_SECONDS + 1)
    assert states(keyed) == ["expired", "verifies", "signs"]
    with pytest.raises(auth.UnknownKey):
        auth.read_token(keyed, SECRET, old_token)
    auth.add_key(keyed, SECRET)
    assert old not in sealed(keyed)
    assert states(keyed) == ["verifies", "verifies", "signs"]


def test_state_says_until_when_a_key_verifies(keyed: Path) -> None:
    supersede(keyed, opened(keyed)[0], 0)
    state = auth.list_keys(keyed, SECRET)[0].state
    until = datetime.strptime(state, "verifies until %Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert abs(until.timestamp() - time.time() - auth.TOKEN_SECONDS) < 60


def test_key_that_is_listed_shows_nothing_of_what_it_signs_with(keyed: Path) -> None:
    assert list(vars(auth.list_keys(keyed, SECRET)[0])) == ["id", "made", "state"]


def test_only_key_that_can_sign_is_not_retired_but_replaced(keyed: Path) -> None:
    old = opened(keyed)[0]
    with pytest.raises(VindimaError, match=rf"{old} is the only key that can sign: `vindima keys add`"):
        auth.retire_key(keyed, SECRET, old)
    assert states(keyed) == ["signs"]
    auth.add_key(keyed, SECRET)
    supersede(keyed, old, 600)
    before = auth.list_keys(keyed, SECRET)
    auth.retire_key(keyed, SECRET, old)
    assert auth.list_keys(keyed, SECRET) == before


def test_key_that_leaked_is_refused_at_once_and_replaced(keyed: Path) -> None:
    user = auth.User("ana", "reader", disabled=False)
    old, token = opened(keyed)[0], auth.issue_token(keyed, SECRET, user)
    new = auth.retire_key(keyed, SECRET, old, at_once=True)
    with pytest.raises(auth.UnknownKey):
        auth.read_token(keyed, SECRET, token)
    assert list(sealed(keyed)) == [new]
    assert auth.read_token(keyed, SECRET, auth.issue_token(keyed, SECRET, user))


def test_retiring_a_verifying_key_at_once_makes_no_new_one(keyed: Path) -> None:
    old, new = opened(keyed)[0], auth.add_key(keyed, SECRET)
    assert auth.retire_key(keyed, SECRET, old, at_once=True) is None
    assert list(sealed(keyed)) == [new]


def test_unknown_key_is_not_retired(keyed: Path) -> None:
    for at_once in (False, True):
        with pytest.raises(VindimaError, match=r"no key 0123 in .*users\.sqlite: `vindima keys list`"):
            auth.retire_key(keyed, SECRET, "0123", at_once=at_once)


def test_start_under_another_secret_says_what_to_do_and_the_old_secret_goes_on(keyed: Path) -> None:
    other = SECRET[::-1]
    with pytest.raises(VindimaError, match=r"of another secret .*`vindima keys add`") as refused:
        auth.prepare(keyed, other)
    assert SECRET not in str(refused.value)
    assert other not in str(refused.value)
    assert states(keyed, other) == ["of another secret"]
    auth.add_key(keyed, other)
    auth.prepare(keyed, other)
    assert states(keyed, other) == ["of another secret", "signs"]
    assert states(keyed) == ["signs", "of another secret"]
    auth.retire_key(keyed, other, opened(keyed)[0])
    assert states(keyed) == ["verifies", "of another secret"]


def test_token_of_another_secrets_key_is_refused(keyed: Path) -> None:
    token = auth.issue_token(keyed, SECRET, auth.User("ana", "reader", disabled=False))
    with pytest.raises(auth.UnknownKey):
        auth.read_token(keyed, SECRET[::-1], token)


def test_no_token_is_issued_where_no_key_can_sign(keyed: Path) -> None:
    with pytest.raises(VindimaError, match=r"no key in .*users\.sqlite can sign .*`vindima keys add`"):
        auth.issue_token(keyed, SECRET[::-1], auth.User("ana", "reader", disabled=False))


# ---- on the command line


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


def test_keys_are_added_listed_and_retired_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "users.sqlite"
    monkeypatch.setattr(paths, "USERS", path)
    monkeypatch.setenv("VINDIMA_JWT_SECRET", SECRET)

    def said(*arguments: str, code: int = 0) -> list[str]:
        result = CliRunner().invoke(main, ["keys", *arguments])
        assert result.exit_code == code
        assert SECRET not in result.output
        return result.output.splitlines()

    assert said("list") == []
    (added,) = said("add")
    first = added.split()[1].rstrip(",")
    assert added == f"added {first}, which signs from now on"
    ((listed, made, state),) = (line.split("\t") for line in said("list"))
    assert (listed, state) == (first, "signs")
    assert abs(datetime.fromisoformat(made).timestamp() - time.time()) < 60
    (refused,) = said("retire", first, code=1)
    assert refused.startswith(f"vindima: {first} is the only key that can sign")
    second = said("add")[0].split()[1].rstrip(",")
    assert said("retire", first) == [f"retired {first}; its tokens are good until they expire"]
    assert said("retire", first, "--now") == [f"retired {first}; its tokens are refused from now on"]
    now = said("retire", second, "--now")
    (third,) = sealed(path)
    assert now == [f"retired {second}; its tokens are refused from now on", f"added {third}, which signs from now on"]


@pytest.mark.parametrize("command", [["add"], ["list"], ["retire", "0123456789abcdef"]])
def test_keys_want_the_secret(command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(paths, "USERS", tmp_path / "users.sqlite")
    monkeypatch.delenv("VINDIMA_JWT_SECRET", raising=False)
    result = CliRunner().invoke(main, ["keys", *command])
    assert result.exit_code == 1
    assert result.output.startswith("vindima: VINDIMA_JWT_SECRET is not set")


def test_verification_leaves_no_open_connection_behind(users: Path) -> None:
    auth.verify(users, "ana", "uva isabel de 1875")
    with sqlite3.connect(users, isolation_level="EXCLUSIVE", timeout=0) as database:
        database.execute("begin exclusive")
    database.close()
