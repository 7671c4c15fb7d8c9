"""Who may ask: users and signing keys in one SQLite file, and the tokens that users are given.

Passwords are kept hashed, signing keys encrypted under the secret. Both are read at every request, so that all
processes agree at once on a user who was disabled and on a key that was replaced.
"""

import os
import re
import secrets
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path

import jwt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from flask import current_app, g, request
from flask_httpauth import HTTPBasicAuth, HTTPTokenAuth
from werkzeug.datastructures import Authorization
from werkzeug.security import check_password_hash, generate_password_hash

from vindima.errors import VindimaError
from vindima.serving import throttle

ROLES = ("reader", "operator")
TOKEN_SECONDS = 3600
KEY_BYTES = 32  # RFC 7518, 3.2: a key for HS256 is at least as long as its hash
SECRET_BYTES = 32  # as long as the keys that are encrypted under it
PASSWORD_CHARACTERS = 12  # beyond guessing at the pace that attempts are allowed, and still typed by hand

_ALGORITHM = "HS256"
_ISSUER = _AUDIENCE = "vindima"
_KEY_ID = re.compile("[0-9a-f]{16}")
_NONCE_BYTES = 12
_TABLES = (
    """
    create table if not exists users (
      name text primary key,
      password text not null,
      role text not null,
      disabled integer not null default 0
    )
    """,
    """
    create table if not exists keys (
      id text primary key,
      made real not null,
      sealed blob not null,
      superseded real
    )
    """,
)


class _Bearer(HTTPTokenAuth):
    def get_auth(self) -> Authorization | None:
        """Werkzeug 3.1 raises where a Basic header is not ASCII; to this check it is no token."""
        try:
            return super().get_auth()
        except ValueError:
            return None


basic = HTTPBasicAuth(realm="vindima")
bearer = _Bearer(scheme="Bearer", realm="vindima")


@dataclass(frozen=True)
class User:
    """A user as listed; never with the password."""

    name: str
    role: str
    disabled: bool


@dataclass(frozen=True)
class Key:
    """A signing key as listed; never with what it signs with."""

    id: str
    made: datetime
    state: str


class UnknownKey(jwt.InvalidTokenError):
    """A token names a key that there is not, or no longer."""


def check_secret(secret: str | None) -> str:
    """The secret, if it can encrypt signing keys; raises VindimaError, without showing it, if it cannot."""
    how = 'make one with `python -c "import secrets; print(secrets.token_urlsafe(48))"`'
    if not secret:
        raise VindimaError(f"VINDIMA_JWT_SECRET is not set and has no default: {how}")
    if (size := len(secret.encode())) < SECRET_BYTES:
        raise VindimaError(f"VINDIMA_JWT_SECRET has {size} bytes, expected {SECRET_BYTES} or more: {how}")
    return secret


@contextmanager
def _database(users: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """A connection that commits at its end; `mode` as in SQLite addresses: ro, rw."""
    address = f"{Path(os.path.abspath(users)).as_uri()}?mode={mode}"  # noqa: PTH100
    try:
        with closing(sqlite3.connect(address, uri=True)) as database, database:
            yield database
    except sqlite3.Error as error:
        raise VindimaError(f"{users} cannot be used as the file of users: {error}") from error


@contextmanager
def _writing(users: Path) -> Iterator[sqlite3.Connection]:
    """The file of users with both its tables, made (for its owner alone) where there is none; nobody else writes."""
    try:
        users.touch(mode=0o600)
    except OSError as error:
        raise VindimaError(f"{users} cannot be used as the file of users: {error.strerror}") from error
    with _database(users, "rw") as database:
        database.execute("begin immediate")
        for table in _TABLES:
            database.execute(table)
        yield database


def _row(database: sqlite3.Connection, name: str) -> tuple[User, str] | None:
    """The user and the hash of the password, or None."""
    row = database.execute("select name, role, disabled, password from users where name = ?", (name,)).fetchone()
    return (User(row[0], row[1], bool(row[2])), row[3]) if row else None


def _find(users: Path, name: str) -> tuple[User, str] | None:
    """The same from the file of users; None also where there is no file."""
    if not users.exists():
        return None
    with _database(users, "ro") as database:
        return _row(database, name)


def add(users: Path, name: str, password: str, role: str = "reader") -> User:
    """The user, now in the file `users`, which is made (for its owner alone) where there is none.

    Raises VindimaError for a name that is taken or that HTTP Basic cannot carry, a password of fewer than
    `PASSWORD_CHARACTERS` and an unknown role.
    """
    if not name or ":" in name or not name.isprintable():
        raise VindimaError(f"user name: expected printable characters without a colon, got {name!r}")
    if len(password) < PASSWORD_CHARACTERS:
        raise VindimaError(
            f"user {name}: expected a password of {PASSWORD_CHARACTERS} characters or more, got {len(password)}"
        )
    if role not in ROLES:
        raise VindimaError(f"user {name}: expected the role {' or '.join(ROLES)}, got {role!r}")
    hashed = generate_password_hash(password)
    with _writing(users) as database:
        try:
            database.execute("insert into users (name, password, role) values (?, ?, ?)", (name, hashed, role))
        except sqlite3.IntegrityError as error:
            raise VindimaError(f"user {name} exists already in {users}") from error
    return User(name, role, disabled=False)


def list_users(users: Path) -> list[User]:
    """All users by name; none where there is no file yet."""
    if not users.exists():
        return []
    with _database(users, "ro") as database:
        rows = database.execute("select name, role, disabled from users order by name").fetchall()
    return [User(name, role, bool(disabled)) for name, role, disabled in rows]


def disable(users: Path, name: str) -> None:
    """Refuse the user's password and tokens from now on. Raises VindimaError for an unknown name."""
    if not _find(users, name):
        raise VindimaError(f"there is no user {name} in {users}: `vindima users list` shows who there is")
    with _database(users, "rw") as database:
        database.execute("update users set disabled = 1 where name = ?", (name,))


@cache
def _dummy() -> str:
    return generate_password_hash(uuid.uuid4().hex)


def verify(users: Path, name: str, password: str) -> User | None:
    """The user, if enabled and the password is theirs; as slow for an unknown name as for a known one."""
    dummy = _dummy()
    user, hashed = _find(users, name) or (None, dummy)
    right = check_password_hash(hashed, password)
    return user if user and right and not user.disabled else None


def _cipher(secret: str) -> AESGCM:
    """What signing keys are encrypted with."""
    return AESGCM(_derived(secret, b"vindima signing keys"))


@cache
def _derived(secret: str, purpose: bytes) -> bytes:
    """A key of the secret's for one purpose (RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose).derive(secret.encode())


def _opened(secret: str, key: str, sealed: bytes) -> bytes | None:
    """What the key signs with; None for a key of another secret."""
    try:
        return _cipher(secret).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], key.encode())
    except InvalidTag:
        return None


def _signing(database: sqlite3.Connection, secret: str) -> tuple[str, bytes] | None:
    """The id of the key that signs under this secret, and what it signs with."""
    rows = database.execute("select id, sealed from keys where superseded is null order by made desc")
    return next(((key, opened) for key, sealed in rows if (opened := _opened(secret, key, sealed))), None)


def _new_key(database: sqlite3.Connection, secret: str) -> str:
    key, nonce = secrets.token_hex(8), secrets.token_bytes(_NONCE_BYTES)
    sealed = nonce + _cipher(secret).encrypt(nonce, secrets.token_bytes(KEY_BYTES), key.encode())
    database.execute("insert into keys (id, made, sealed) values (?, ?, ?)", (key, time.time(), sealed))
    return key


def prepare(users: Path, secret: str) -> None:
    """Make the file of users, for its owner alone, and its first signing key, where they are wanting.

    Processes that do so at once end with one key. Raises VindimaError where all keys are of another secret.
    """
    with _writing(users) as database:
        if _signing(database, secret):
            return
        rows = database.execute("select id, sealed from keys").fetchall()
        if rows and not any(_opened(secret, key, sealed) for key, sealed in rows):
            raise VindimaError(
                f"the signing keys in {users} are of another secret than VINDIMA_JWT_SECRET is now: set it to "
                "theirs, or make a key under this one with `vindima keys add`"
            )
        _new_key(database, secret)


def add_key(users: Path, secret: str) -> str:
    """The id of a new key, which signs from now on.

    The one that signed under this secret goes on verifying until its last token has expired; keys whose tokens all
    have are removed.
    """
    now = time.time()
    with _writing(users) as database:
        database.execute("delete from keys where superseded <= ?", (now - TOKEN_SECONDS,))
        if signing := _signing(database, secret):
            database.execute("update keys set superseded = ? where id = ?", (now, signing[0]))
        return _new_key(database, secret)


def content(users: Path) -> bytes:
    """The file of users, as it is between two changes; VindimaError where there is none."""
    with _database(users, "ro") as database:
        return database.serialize()


def replace(users: Path, content: bytes) -> None:
    """Put the users of `content`, as `content` gives it, in the place of those in the file `users`, all at once.

    So are the signing keys, if it has any: without, the tokens that were given here would be lost. Raises
    VindimaError, and leaves the file as it was, where it is none of users.
    """
    with closing(sqlite3.connect(":memory:")) as found:
        try:
            found.deserialize(content)
            rows = {
                "users": found.execute("select name, password, role, disabled from users").fetchall(),
                "keys": found.execute("select id, made, sealed, superseded from keys").fetchall(),
            }
        except sqlite3.Error as error:
            raise VindimaError(f"what is to take the place of {users} is no file of users: {error}") from error
    with _writing(users) as database:
        for table, lines in rows.items():
            if lines or table == "users":
                database.execute(f"delete from {table}")  # noqa: S608
                database.executemany(f"insert into {table} values (?, ?, ?, ?)", lines)  # noqa: S608


def list_keys(users: Path, secret: str) -> list[Key]:
    """All keys, the oldest first; none where there is no file yet."""
    if not users.exists():
        return []
    with _writing(users) as database:
        rows = database.execute("select id, made, sealed, superseded from keys order by made").fetchall()
    return [
        Key(key, datetime.fromtimestamp(made, UTC), _state(superseded, _opened(secret, key, sealed) is not None))
        for key, made, sealed, superseded in rows
    ]


def _state(superseded: float | None, ours: bool) -> str:
    if not ours:
        return "of another secret"
    if superseded is None:
        return "signs"
    until = superseded + TOKEN_SECONDS
    if until <= time.time():
        return "expired"
    return f"verifies until {datetime.fromtimestamp(until, UTC):%Y-%m-%dT%H:%M:%SZ}"


def retire_key(users: Path, secret: str, key: str, *, at_once: bool = False) -> str | None:
    """Sign no more with the key `key`. Its tokens are good until they expire, or, `at_once`, are refused from now on.

    Returns the id of the key that was made in its place, if it was the one that signs and is gone at once. Raises
    VindimaError for an unknown id and, unless `at_once`, for the only key that can sign.
    """
    with _writing(users) as database:
        if not database.execute("select 1 from keys where id = ?", (key,)).fetchone():
            raise VindimaError(f"there is no key {key} in {users}: `vindima keys list` shows which there are")
        signing = _signing(database, secret)
        signs = signing is not None and signing[0] == key
        if at_once:
            database.execute("delete from keys where id = ?", (key,))
            return _new_key(database, secret) if signs else None
        if signs:
            raise VindimaError(
                f"{key} is the only key that can sign: `vindima keys add` makes one that takes its place, "
                f"and `vindima keys retire {key} --now` does so and refuses its tokens"
            )
        database.execute("update keys set superseded = ? where id = ? and superseded is null", (time.time(), key))
    return None


def issue_token(users: Path, secret: str, user: User, seconds: int = TOKEN_SECONDS) -> str:
    """A signed token (JWT, HS256) for `user`, good for `seconds`; none is good for more than TOKEN_SECONDS.

    Raises VindimaError where no key can sign.
    """
    with _database(users, "ro") as database:
        signing = _signing(database, secret)
    if signing is None:
        raise VindimaError(f"no key in {users} can sign under this secret: `vindima keys add` makes one")
    now = datetime.now(UTC)
    claims = {
        "iss": _ISSUER,
        "aud": _AUDIENCE,
        "sub": user.name,
        "role": user.role,
        "jti": uuid.uuid4().hex,
        "iat": now,
        "exp": now + timedelta(seconds=min(seconds, TOKEN_SECONDS)),
    }
    return jwt.encode(claims, signing[1], algorithm=_ALGORITHM, headers={"kid": signing[0]})


@lru_cache(maxsize=16)  # the tokens of a key share one header
def _named_key(header: str) -> str:
    """The id of the key that a token's first part names; raises jwt.InvalidTokenError where it names none."""
    key = jwt.get_unverified_header(f"{header}..").get("kid", "")
    if not _KEY_ID.fullmatch(key):
        raise jwt.InvalidTokenError("the token names no key")
    return key


def read_token(users: Path, secret: str, token: str) -> dict:
    """The claims of a token; raises jwt.InvalidTokenError for one that is not ours or no longer good."""
    return _read(users, secret, token)[0]


def _read(users: Path, secret: str, token: str) -> tuple[dict, User | None]:
    """The claims of a token, and its user as the file of users knows them now."""
    key = _named_key(token.partition(".")[0])
    if not users.exists():
        raise UnknownKey("there is no file of keys")
    with _database(users, "ro") as database:
        row = database.execute(
            "select sealed from keys where id = ? and (superseded is null or superseded > ?)",
            (key, time.time() - TOKEN_SECONDS),
        ).fetchone()
        opened = _opened(secret, key, row[0]) if row else None
        if opened is None:
            raise UnknownKey("the key is unknown")
        claims = jwt.decode(
            token,
            opened,
            algorithms=[_ALGORITHM],
            issuer=_ISSUER,
            audience=_AUDIENCE,
            options={"require": ["exp", "iss", "aud", "sub", "jti", "iat", "role"]},
        )
        if type(claims["exp"]) is not int or claims["exp"] > time.time() + TOKEN_SECONDS:
            raise jwt.InvalidTokenError("exp is no time at which a token of ours expires")
        found = _row(database, claims["sub"])
    return claims, found[0] if found else None


@basic.verify_password
def _caller_by_password(name: str, password: str) -> User | None:
    """The user; raises what `throttle.attempt` does: after many wrong passwords the right one is refused as well."""
    if not name:
        return None
    users, secret = Path(current_app.config["USERS"]), current_app.config["JWT_SECRET"]
    with throttle.attempt(users, secret, request.remote_addr, name) as give_back:
        if user := verify(users, name, password):
            give_back()
    return user


@bearer.verify_token
def _caller_by_token(token: str) -> User | None:
    """The user as the file of users knows them now; `g.refusal` says why there is none."""
    if not token:
        g.refusal = "no token"
        return None
    try:
        _, user = _read(Path(current_app.config["USERS"]), current_app.config["JWT_SECRET"], token)
    except jwt.ExpiredSignatureError:
        g.refusal = "an expired token"
        return None
    except UnknownKey:
        g.refusal = "a token of a key that is retired or unknown"
        return None
    except jwt.InvalidTokenError:
        g.refusal = "a token that this service did not issue"
        return None
    if user is None or user.disabled:
        g.refusal = "a token of a user who is disabled or unknown"
        return None
    return user


@bearer.get_user_roles
def _roles(user: User) -> str:
    return user.role
