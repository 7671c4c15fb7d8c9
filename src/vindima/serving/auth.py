"""Who may ask: users with hashed passwords in SQLite, and the signed tokens that they are given."""

import os
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import jwt
from flask import current_app, g
from flask_httpauth import HTTPBasicAuth, HTTPTokenAuth
from werkzeug.datastructures import Authorization
from werkzeug.security import check_password_hash, generate_password_hash

from vindima.errors import VindimaError

ROLES = ("reader", "operator")
TOKEN_SECONDS = 3600
SECRET_BYTES = 32  # RFC 7518, 3.2: a key for HS256 is at least as long as its hash
PASSWORD_CHARACTERS = 12  # beyond guessing at the pace that attempts are allowed, and still typed by hand

_ALGORITHM = "HS256"
_ISSUER = _AUDIENCE = "vindima"
_TABLE = """
create table if not exists users (
  name text primary key,
  password text not null,
  role text not null,
  disabled integer not null default 0
)
"""


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


def check_secret(secret: str | None) -> str:
    """The secret, if it can sign tokens; raises VindimaError, without showing it, if it cannot."""
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


def _find(users: Path, name: str) -> tuple[User, str] | None:
    """The user and the hash of the password, or None."""
    if not users.exists():
        return None
    with _database(users, "ro") as database:
        row = database.execute("select name, role, disabled, password from users where name = ?", (name,)).fetchone()
    return (User(row[0], row[1], bool(row[2])), row[3]) if row else None


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
    try:
        users.touch(mode=0o600)
    except OSError as error:
        raise VindimaError(f"{users} cannot be used as the file of users: {error.strerror}") from error
    with _database(users, "rw") as database:
        database.execute(_TABLE)
        try:
            database.execute(
                "insert into users (name, password, role) values (?, ?, ?)",
                (name, generate_password_hash(password), role),
            )
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


def issue_token(user: User, secret: str, seconds: int = TOKEN_SECONDS) -> str:
    """A signed token (JWT, HS256) for `user`, good for `seconds`."""
    now = datetime.now(UTC)
    claims = {
        "iss": _ISSUER,
        "aud": _AUDIENCE,
        "sub": user.name,
        "role": user.role,
        "jti": uuid.uuid4().hex,
        "iat": now,
        "exp": now + timedelta(seconds=seconds),
    }
    return jwt.encode(claims, secret, algorithm=_ALGORITHM)


def read_token(token: str, secret: str) -> dict:
    """The claims of a token; raises jwt.InvalidTokenError for one that is not ours or no longer good."""
    return jwt.decode(
        token,
        secret,
        algorithms=[_ALGORITHM],
        issuer=_ISSUER,
        audience=_AUDIENCE,
        options={"require": ["exp", "iss", "aud", "sub", "jti", "iat", "role"]},
    )


@basic.verify_password
def _caller_by_password(name: str, password: str) -> User | None:
    return verify(Path(current_app.config["USERS"]), name, password) if name else None


@bearer.verify_token
def _caller_by_token(token: str) -> User | None:
    """The user as the file of users knows them now; `g.refusal` says why there is none."""
    if not token:
        g.refusal = "no token"
        return None
    try:
        claims = read_token(token, current_app.config["JWT_SECRET"])
    except jwt.ExpiredSignatureError:
        g.refusal = "an expired token"
        return None
    except jwt.InvalidTokenError:
        g.refusal = "a token that this service did not issue"
        return None
    found = _find(Path(current_app.config["USERS"]), claims["sub"])
    if found is None or found[0].disabled:
        g.refusal = "a token of a user who is disabled or unknown"
        return None
    return found[0]


@bearer.get_user_roles
def _roles(user: User) -> str:
    return user.role
