"""Links by which an end user rates one call without a key: what they say, and that we said it.

Nothing is kept of a link. Whoever has it can read what is in it, and can change nothing of it.
"""

import base64
import binascii
import hashlib
import hmac

import msgspec

_CODE_BYTES = 16


class RatingLink(msgspec.Struct, frozen=True, array_like=True):
    """What a link lets its holder do, and until when."""

    call_id: str
    tenant: str
    contributor: str
    expires_at: int
    """Seconds since the epoch."""
    ratings: tuple[int, ...]
    """Those that can be chosen from."""


_link = msgspec.msgpack.Decoder(RatingLink)


class LinkSigner:
    """Turns links into tokens and back, with a key of its own that the installation's secret
    gives (RFC 2104, over SHA-256 cut to 16 bytes)."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, b"links for ratings", hashlib.sha256)

    def token(self, link: RatingLink) -> str:
        content = msgspec.msgpack.encode(link)
        return base64.urlsafe_b64encode(self._code(content) + content).decode().rstrip("=")

    def read(self, token: str) -> RatingLink:
        """The link of a token.

        Raises:
            ValueError: no such token was made here.
        """
        try:
            text = token.encode("ascii")
            data = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error) as error:
            raise ValueError("a token is letters, digits, - and _") from error
        code, content = data[:_CODE_BYTES], data[_CODE_BYTES:]
        if not hmac.compare_digest(code, self._code(content)):
            raise ValueError("this token was not made here")
        return _link.decode(content)

    def _code(self, content: bytes) -> bytes:
        return hmac.digest(self._key, content, hashlib.sha256)[:_CODE_BYTES]
