"""Tokens, codes and passphrases."""

import re

import pytest

from memorial_tasks.delivery import codes


def test_a_token_has_256_bits_and_only_a_whole_one_has_a_hash() -> None:
    token = codes.new_token()
    assert len({codes.new_token() for _ in range(50)}) == 50
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    assert len(codes.token_hash(token) or b"") == 32
    for wrong in ("", token[:-1], token + "A", "../../etc/passwd", "%00" * 14 + "a", token[:-1] + "\n", "é" * 43):
        assert codes.token_hash(wrong) is None


@pytest.mark.parametrize(
    "typed",
    ["K7QX-M2RD", "k7qxm2rd", " K7QX M2RD ", "k7qx—m2rd", "Ｋ７ＱＸ－Ｍ２ＲＤ"],
)
def test_a_code_is_understood_however_it_is_typed(typed: str) -> None:
    assert codes.normal_code(typed) == "K7QXM2RD"


def test_look_alike_letters_are_forgiven_and_anything_else_is_no_code() -> None:
    assert codes.normal_code("OIL0-0000") == "01100000"
    for wrong in ("", "K7QX-M2R", "K7QX-M2RDD", "K7QX-M2RU", "'; DROP TABLE", "K7QX\x00M2RD", "😀" * 8, "K" * 100_000):
        assert codes.normal_code(wrong) is None


def test_only_the_right_code_fits() -> None:
    code, salt = codes.new_code(), b"s" * 16
    expected = codes.code_hash(codes.normal_code(code) or "", salt)
    assert codes.code_fits(code.lower(), salt, expected)
    assert not codes.code_fits(codes.new_code(), salt, expected)
    assert not codes.code_fits("", salt, expected)
    assert not codes.code_fits(code, b"t" * 16, expected)


def test_codes_and_passphrases_have_the_promised_length_and_letters() -> None:
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}", codes.new_code())
    assert re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{5}-){4}[0-9A-HJKMNP-TV-Z]{5}", codes.new_passphrase())
