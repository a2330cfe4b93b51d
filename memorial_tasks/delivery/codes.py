"""Tokens, codes and passphrases: made from the system's randomness, shown once, kept as hashes only.

Codes and passphrases use Crockford's base32: no I, L, O or U, so that they survive a telephone and a small screen.
"""

import hashlib
import hmac
import re
import secrets
import unicodedata

TOKEN_BYTES = 32
CODE_CHARACTERS = 8  # 40 bits behind ten tries
PASSPHRASE_CHARACTERS = 25  # 125 bits: an archive can be attacked offline for as long as anybody likes
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_CODE = re.compile(f"[{_ALPHABET}]{{{CODE_CHARACTERS}}}")
_LOOKALIKES = str.maketrans({"O": "0", "I": "1", "L": "1"})
_SCRYPT = {"n": 1 << 14, "r": 8, "p": 1, "dklen": 32}


def new_token() -> str:
    """256 random bits as 43 characters that fit into an address."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def token_hash(token: str) -> bytes | None:
    """SHA-256 of a token, 32 bytes; None for anything that cannot be one. No salt: 256 bits cannot be guessed."""
    return hashlib.sha256(token.encode()).digest() if _TOKEN.fullmatch(token) else None


def _grouped(characters: int, group: int) -> str:
    text = "".join(secrets.choice(_ALPHABET) for _ in range(characters))
    return "-".join(text[start : start + group] for start in range(0, characters, group))


def new_code() -> str:
    """The second factor the family gets apart from the link, as ``K7QX-M2RD``."""
    return _grouped(CODE_CHARACTERS, 4)


def new_passphrase() -> str:
    """The passphrase of an archive, as five groups of five."""
    return _grouped(PASSPHRASE_CHARACTERS, 5)


def normal_code(typed: str) -> str | None:
    """What was meant: full-width, small and look-alike characters, spaces and dashes are forgiven; None when it is
    no code at all."""
    plain = unicodedata.normalize("NFKC", typed[:100]).upper()
    plain = re.sub(r"[\s\-\u2010-\u2015\u2212]", "", plain).translate(_LOOKALIKES)
    return plain if _CODE.fullmatch(plain) else None


def code_hash(code: str, salt: bytes) -> bytes:
    """scrypt (RFC 7914, 16 MiB) of a normal code: whoever steals the table still has to work for each guess."""
    return hashlib.scrypt(code.encode(), salt=salt, **_SCRYPT)


def code_fits(typed: str, salt: bytes, expected: bytes) -> bool:
    """Compares in the same time whatever was typed."""
    return hmac.compare_digest(code_hash(normal_code(typed) or "", salt), expected)
