"""Transcripts: both ways of writing them, and every mistake found at once."""

from pathlib import Path

import pytest

from memorial_tasks.quality.transcripts import read_transcripts


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    folder = tmp_path / "voice"
    folder.mkdir()
    for name in ("one.wav", "two.flac", "three.mp3"):
        (folder / name).write_bytes(b"x")
    return folder


def codes(folder: Path) -> list[str]:
    return [problem.code for problem in read_transcripts(folder)[1]]


def test_a_table_with_bars(voice: Path) -> None:
    (voice / "transcripts.csv").write_text("one.wav|Hello, you | me\ntwo|你好\n\n", "utf-8")
    texts, problems = read_transcripts(voice)
    assert texts == {"one.wav": "Hello, you | me", "two.flac": "你好"}
    assert problems == []


def test_a_table_with_commas_and_a_header_and_a_byte_order_mark(voice: Path) -> None:
    (voice / "transcripts.csv").write_text('file,text\none.wav,"Hello, you"\n', "utf-8-sig")
    assert read_transcripts(voice) == ({"one.wav": "Hello, you"}, [])


def test_texts_beside_the_recordings(voice: Path) -> None:
    (voice / "three.txt").write_text("so\n it was \n", "utf-8")
    assert read_transcripts(voice) == ({"three.mp3": "so it was"}, [])


def test_every_mistake_is_found_at_once(voice: Path) -> None:
    (voice / "transcripts.csv").write_text("one.wav|a\none.wav|b\nlost.wav|c\ntwo.flac|\njust words\n", "utf-8")
    (voice / "nobody.txt").write_text("d", "utf-8")
    (voice / "one.txt").write_text("something else", "utf-8")
    (voice / "three.txt").write_bytes(b"\xff\xfe\xb5")
    assert sorted(codes(voice)) == sorted(
        [
            "transcript.twice", "transcript.no_recording", "transcript.empty", "transcript.line",
            "transcript.no_recording", "transcript.twice", "transcript.encoding",
        ]
    )  # fmt: skip


def test_what_was_said_is_never_repeated_in_a_problem(voice: Path) -> None:
    (voice / "transcripts.csv").write_text("a secret sentence\nlost.wav|another secret\none.wav|x\n", "utf-8")
    assert all("secret" not in str(problem) for problem in read_transcripts(voice)[1])


def test_problems_point_at_the_file_in_the_order(voice: Path) -> None:
    (voice / "transcripts.csv").write_text("lost.wav|c\n", "utf-8")
    (problem,) = read_transcripts(voice)[1]
    assert (problem.file, problem.field) == ("voice/transcripts.csv", "materials.voice")


def test_no_folder_no_texts(tmp_path: Path) -> None:
    assert read_transcripts(tmp_path / "none") == ({}, [])
