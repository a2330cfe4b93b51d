"""Licensed corpora: read as their publishers lay them out, refused where nobody may use them."""

from pathlib import Path

import pytest

from memorial_tasks.domain.words import Language
from memorial_tasks.errors import InputRefused
from memorial_tasks.voice.licensed import Part, Spoken, by_speaker, read_manifest, read_part, with_pinyin
from memorial_tasks.voice.phones import Phone
from memorial_tasks.voice.text.units import Word


def _part(layout: str, folder: Path, **changes: object) -> Part:
    return Part.model_validate(
        {"layout": layout, "folder": folder, "licence": "CC0-1.0", "source": "https://corpora.example/x", **changes}
    )


def _touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_ljspeech_takes_the_written_out_text_and_sounds_in_wavs_or_beside_the_table(tmp_path: Path) -> None:
    _touch(tmp_path / "wavs" / "LJ001-0001.wav")
    _touch(tmp_path / "beside.flac")
    table = "LJ001-0001|In 1455,|In fourteen fifty-five,\nbeside|Good morning.\nLJ404|no such file\n"
    (tmp_path / "metadata.csv").write_text(table, "utf-8")
    found = read_part(_part("ljspeech", tmp_path))
    assert [(item.path.name, item.text, item.speaker) for item in found] == [
        ("LJ001-0001.wav", "In fourteen fifty-five,", tmp_path.name),
        ("beside.flac", "Good morning.", tmp_path.name),
    ]
    assert [i.path.stem for i in read_part(_part("ljspeech", tmp_path, leave_out=["beside"]))] == ["LJ001-0001"]


def test_libritts_is_read_by_speaker_and_chapter(tmp_path: Path) -> None:
    for stem in ("84/121123/84_121123_000007_000001", "174/50561/174_50561_000002_000000"):
        _touch(tmp_path / f"{stem}.wav").with_suffix(".normalized.txt").write_text(f"Text of {stem[:2]}.\n", "utf-8")
    found = read_part(_part("libritts", tmp_path))
    assert {speaker: [i.text for i in items] for speaker, items in by_speaker(found).items()} == {
        "84": ["Text of 84."],
        "174": ["Text of 17."],
    }


def test_aishell3_gives_characters_and_what_was_really_said(tmp_path: Path) -> None:
    _touch(tmp_path / "wav" / "SSB0005" / "SSB00050001.wav")
    (tmp_path / "content.txt").write_text("SSB00050001.wav\t广 guang3 州 zhou1\n", "utf-8")
    (item,) = read_part(_part("aishell3", tmp_path))
    assert (item.text, item.speaker, item.pinyin) == ("广州", "SSB0005", ("guang3", "zhou1"))
    assert _part("aishell3", tmp_path).spoken == Language.ZH_CN


@pytest.mark.parametrize("layout", ["ljspeech", "libritts", "aishell3"])
def test_a_folder_of_another_layout_is_refused_by_name(layout: str, tmp_path: Path) -> None:
    with pytest.raises(InputRefused) as refusal:
        read_part(_part(layout, tmp_path))
    assert layout in refusal.value.problems[0].what


def test_the_pinyin_of_the_corpus_decides_where_it_covers_the_text() -> None:
    def reads(text: str, language: Language) -> list[Word]:
        return [Word(text, (Phone("sh"), Phone("iii", 0.0, 4)), language)]

    said = with_pinyin(reads, [Spoken(Path("a"), "市", "s", ("si4",)), Spoken(Path("b"), "花儿", "s", ("huar1",))])
    assert said("市", Language.ZH_CN)[0].phones == (Phone("s"), Phone("ii", 0.0, 4))
    assert said("花儿", Language.ZH_CN) == reads("花儿", Language.ZH_CN)
    assert said("事", Language.ZH_CN) == reads("事", Language.ZH_CN)

    def english(text: str, language: Language) -> list[Word]:
        return [Word(text, (Phone("HH"), Phone("AY", 1.0)), language)]

    assert with_pinyin(english, [])("hi", Language.EN_US) == english("hi", Language.EN_US)


MANIFEST = """
model: kathleen-base-1
licence: CC0-1.0
source: trained here
parts:
  - {layout: ljspeech, folder: corpora/one, licence: %s, source: "https://corpora.example/one"}
"""


def test_folders_are_taken_from_the_manifests_own(tmp_path: Path) -> None:
    path = tmp_path / "corpus.yaml"
    path.write_text(MANIFEST % "CC0-1.0", "utf-8")
    assert read_manifest(path).parts[0].folder == tmp_path / "corpora" / "one"


@pytest.mark.parametrize("licence", ["CC-BY-NC-4.0", "CC-BY-ND-3.0", "research only"])
def test_corpora_that_may_not_serve_a_family_are_refused(licence: str, tmp_path: Path) -> None:
    path = tmp_path / "corpus.yaml"
    path.write_text(MANIFEST % licence, "utf-8")
    with pytest.raises(InputRefused) as refusal:
        read_manifest(path)
    assert "licence" in refusal.value.problems[0].what


def test_a_part_without_a_licence_and_a_broken_file_are_refused_by_field(tmp_path: Path) -> None:
    path = tmp_path / "corpus.yaml"
    path.write_text((MANIFEST % "CC0-1.0").replace("licence: CC0-1.0, ", ""), "utf-8")
    with pytest.raises(InputRefused) as refusal:
        read_manifest(path)
    assert "corpus.yaml parts.0.licence" in [problem.field for problem in refusal.value.problems]
    path.write_text("a: [", "utf-8")
    with pytest.raises(InputRefused):
        read_manifest(path)
    with pytest.raises(InputRefused):
        read_manifest(tmp_path / "none.yaml")
