"""What a source replies over HTTP, and the error for a reply that is not what was asked for."""

import hashlib
from dataclasses import dataclass
from typing import Any

from vindima.errors import VindimaError


class WrongReply(VindimaError):
    """What arrived is not what was asked for, or not all of it; asking again may help."""


@dataclass(frozen=True)
class Reply:
    """What the source answered at a site-relative `address`, and its validators for asking again."""

    address: str
    data: bytes
    retrieved_at: str
    status: int = 200
    etag: str | None = None
    last_modified: str | None = None

    @property
    def sha256(self) -> str:
        """Of the bytes, in hexadecimal digits."""
        return hashlib.sha256(self.data).hexdigest()

    def record(self) -> dict[str, Any]:
        """What a manifest says of the reply itself; validators only where the source gave some."""
        validators = {"etag": self.etag, "last_modified": self.last_modified}
        return {
            "address": self.address,
            "retrieved_at": self.retrieved_at,
            "status": self.status,
            "sha256": self.sha256,
            "bytes": len(self.data),
        } | {name: value for name, value in validators.items() if value}


@dataclass(frozen=True)
class Stored:
    """What the source answered at a site-relative `address`, where it stands in a file; bytes are counted."""

    address: str
    sha256: str
    bytes: int
    retrieved_at: str
    etag: str | None = None
    last_modified: str | None = None
