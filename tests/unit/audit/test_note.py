"""Signed notes: what is signed opens, what is altered does not, and keys read back as they were written."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from memorial_tasks.audit import note as notes
from memorial_tasks.errors import InputRefused, IntegrityError, Unavailable

AT = datetime(2026, 11, 21, 1, 44, tzinfo=UTC)
ROOT = bytes(range(32))


@pytest.fixture
def keys(tmp_path: Path) -> notes.SigningKeys:
    return notes.create_keys(tmp_path, "memorial-studio/test")


def test_a_note_opens_and_says_what_was_signed(keys: notes.SigningKeys) -> None:
    opened = notes.open_note(notes.sign(keys, 1234, ROOT, AT), keys.public)
    assert (opened.origin, opened.size, opened.root, opened.at) == ("memorial-studio/test", 1234, ROOT, AT)
    assert opened.signers == ("memorial-studio/test", "memorial-studio/test/clock")


def test_without_the_clock_key_the_log_still_opens_but_has_no_time(keys: notes.SigningKeys) -> None:
    assert notes.open_note(notes.sign(keys, 1, ROOT, AT), keys.public[:1]).at is None


@pytest.mark.parametrize(
    ("old", "new"),
    [("\n1234\n", "\n1235\n"), ("AAECAwQF", "AAECAwQG"), ("memorial-studio/test\n", "memorial-studio/tesu\n")],
)
def test_any_change_is_noticed(keys: notes.SigningKeys, old: str, new: str) -> None:
    note = notes.sign(keys, 1234, ROOT, AT)
    assert old in note
    with pytest.raises(IntegrityError):
        notes.open_note(note.replace(old, new, 1), keys.public)


def test_a_moved_time_is_noticed(keys: notes.SigningKeys) -> None:
    first, second = notes.sign(keys, 1, ROOT, AT), notes.sign(keys, 1, ROOT, AT.replace(year=2025))
    import base64

    mine, other = (base64.b64decode(note.splitlines()[-1].split(" ")[2]) for note in (first, second))
    mixed = base64.b64encode(mine[:4] + other[4:12] + mine[12:]).decode()
    with pytest.raises(IntegrityError, match="signature"):
        notes.open_note(first.replace(base64.b64encode(mine).decode(), mixed), keys.public)


def test_another_log_s_note_is_refused(keys: notes.SigningKeys, tmp_path: Path) -> None:
    other = notes.create_keys(tmp_path / "other", "memorial-studio/test")
    with pytest.raises(IntegrityError, match="not signed by this log's key"):
        notes.open_note(notes.sign(other, 1, ROOT, AT), keys.public)


@pytest.mark.parametrize("text", ["", "hello", "a\n1\nzz\n\nno signature\n", "a\n-1\nAAAA\n\n— a AAAA\n", "\n\n\n"])
def test_what_is_no_note_is_refused(keys: notes.SigningKeys, text: str) -> None:
    with pytest.raises(IntegrityError):
        notes.open_note(text, keys.public)


def test_keys_read_back(keys: notes.SigningKeys) -> None:
    assert [notes.parse_key(str(key)) for key in keys.public] == list(keys.public)
    for bad in ("", "a+b", str(keys.public[0]).replace("+", "-"), str(keys.public[0])[:-4] + "AAAA"):
        with pytest.raises(InputRefused):
            notes.parse_key(bad)


def test_the_key_file_is_private_and_kept(tmp_path: Path) -> None:
    first = notes.create_keys(tmp_path / "ring")
    assert notes.create_keys(tmp_path / "ring").public == first.public
    assert (tmp_path / "ring" / notes.KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in repr(first)


def test_a_missing_or_broken_key_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="memorial init"):
        notes.load_keys(tmp_path)
    (tmp_path / notes.KEY_FILE).write_text("origin: x\nnonsense")
    with pytest.raises(Unavailable):
        notes.load_keys(tmp_path)


@pytest.mark.parametrize("origin", ["a b", "x", "a+b", "a\nb", "日志"])
def test_a_log_needs_a_plain_name(tmp_path: Path, origin: str) -> None:
    with pytest.raises(InputRefused):
        notes.create_keys(tmp_path, origin)
