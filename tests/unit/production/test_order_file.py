"""Reading an order file: every problem at once, each with field, file and remedy, and no value quoted."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.production.order_file import read_order

TODAY = date(2026, 11, 21)


def document(**changes: Any) -> dict[str, Any]:
    order = {
        "order": "demo-001",
        "subject": {"name": "Secret Name", "born": date(1931, 4, 2), "died": date(2019, 11, 20), "domicile": "CN"},
        "grantors": [{"name": "Other Name", "relation": "daughter", "evidence": ["papers/kinship.pdf"]}],
        "purpose": "family_private",
        "language": "zh-CN",
        "script": [{"text": "你好。"}],
        "materials": {"photos": "photos", "voice": "voice"},
    }
    return order | changes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("papers/kinship.pdf", "photos/a.jpg", "voice/a.wav"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def problems(folder: Path, content: dict[str, Any] | str) -> list[Problem]:
    path = folder / "order.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, allow_unicode=True), "utf-8")
    try:
        return read_order(path, TODAY)[2]
    except InputRefused as error:
        return list(error.problems)


def codes(folder: Path, content: dict[str, Any] | str) -> set[str]:
    return {problem.code for problem in problems(folder, content)}


def test_a_right_order_has_no_problems(folder: Path) -> None:
    assert problems(folder, document()) == []


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"surprise": 1}, "order.unknown_key", "surprise"),
        ({"materials": {"fotos": "photos"}}, "order.unknown_key", "materials.fotos"),
        ({"order": "Bad Id"}, "order.string_pattern_mismatch", "order"),
        ({"order": "../x"}, "order.string_pattern_mismatch", "order"),
        ({"purpose": "fun"}, "order.enum", "purpose"),
        ({"script": []}, "script.empty", "script"),
        ({"script": [{"text": "..."}]}, "script.empty", "script"),
        ({"script": "none.txt"}, "script.missing", "script"),
        ({"materials": {"photos": "../photos", "voice": "voice"}}, "order.value_error", "materials.photos"),
        ({"materials": {"voice": "voice"}}, "materials.no_face", "materials"),
        ({"materials": {"photos": "photos"}}, "materials.no_voice", "materials"),
        ({"promised": date(2020, 1, 1)}, "order.promised_past", "promised"),
        ({"translation": {"en-US": ["a", "b"]}}, "translation.lines", "translation.en-US"),
        ({"deliver": {"subtitles": ["en-US"]}}, "subtitles.no_text", "translation.en-US"),
        ({"deliver": {"burn": ["en-US"]}}, "subtitles.no_text", "translation.en-US"),
    ],
)
def test_each_fault_is_named_with_its_field(folder: Path, changes: dict[str, Any], code: str, field: str) -> None:
    found = [problem for problem in problems(folder, document(**changes)) if problem.code == code]
    assert [problem.field for problem in found] == [field]
    assert found[0].remedy


def test_dates_that_cannot_be(folder: Path) -> None:
    subject = document()["subject"]
    found = problems(folder, document(subject=subject | {"died": date(1900, 1, 1)}))
    assert [(problem.field, problem.file) for problem in found] == [("subject.died", "order.yaml")]
    assert "subject.died_in_future" in codes(folder, document(subject=subject | {"died": date(2027, 1, 1)}))


def test_missing_and_empty_papers(folder: Path) -> None:
    (folder / "papers" / "kinship.pdf").write_bytes(b"")
    grantor = document()["grantors"][0] | {"evidence": ["papers/kinship.pdf", "papers/death.pdf"]}
    found = problems(folder, document(grantors=[grantor]))
    assert {(p.code, p.file) for p in found} == {
        ("evidence.size", "papers/kinship.pdf"),
        ("evidence.missing", "papers/death.pdf"),
    }


def test_a_paper_whose_name_says_nothing_needs_its_kind(folder: Path) -> None:
    (folder / "papers" / "scan-0001.pdf").write_bytes(b"x")
    papers = ["papers/kinship.pdf", "papers/scan-0001.pdf"]
    found = problems(folder, document(grantors=[document()["grantors"][0] | {"evidence": papers}]))
    assert [(p.code, p.field, p.file) for p in found] == [
        ("evidence.kind", "grantors.0.evidence", "papers/scan-0001.pdf")
    ]
    assert "death, kinship, identity" in found[0].remedy
    for paper, code in (
        ("papers/scan-0001.pdf", "evidence.kind"),
        ({"file": "papers/scan-0001.pdf", "kind": "certificate"}, "order.literal_error"),
    ):
        grantor = document()["grantors"][0] | {"evidence": [paper]}
        assert codes(folder, document(grantors=[grantor])) == {code}
    told = document()["grantors"][0] | {"evidence": [{"file": "papers/scan-0001.pdf", "kind": "kinship"}]}
    assert problems(folder, document(grantors=[told])) == []


def test_the_place_of_a_paper_can_say_what_it_is(folder: Path) -> None:
    (folder / "papers" / "scan-0001.pdf").write_bytes(b"x")
    subject = document()["subject"] | {
        "lifetime_arrangement": {"kind": "permits", "evidence": ["papers/scan-0001.pdf"]},
    }
    third = {"third_parties": [{"name": "T", "evidence": ["papers/scan-0001.pdf"]}]}
    son = {"name": "K", "relation": "son", "position": "agreed", "evidence": ["papers/scan-0001.pdf"]}
    assert problems(folder, document(subject=subject, consent=third, co_kin=[son])) == []


def test_what_is_said_about_a_date_is_about_material_that_is_there(folder: Path) -> None:
    said = {"dated_later": [{"file": "photos/a.jpg", "reason": "a scan"}, {"file": "photos/b.jpg", "reason": "a scan"}]}
    found = problems(folder, document(consent=said))
    assert [(p.code, p.field, p.file) for p in found] == [
        ("consent.dated_later", "consent.dated_later", "photos/b.jpg")
    ]
    assert codes(folder, document(consent={"dated_later": [{"file": "photos/a.jpg"}]})) == {"order.missing"}


def test_a_paper_may_not_lead_out_of_the_folder(folder: Path) -> None:
    (folder / "papers" / "kinship.pdf").unlink()
    (folder / "papers" / "kinship.pdf").symlink_to("/etc/hostname")
    assert codes(folder, document()) == {"evidence.outside"}


def test_everything_wrong_is_listed_at_once(folder: Path) -> None:
    broken = document(surprise=1, purpose="fun", promised=date(2020, 1, 1), script=[], materials={"photos": "../x"})
    broken["grantors"][0]["evidence"] = ["papers/none.pdf"]
    found = codes(folder, broken)
    assert {"order.unknown_key", "order.enum", "order.value_error", "script.empty", "evidence.missing"} <= found


def test_no_problem_quotes_a_value(folder: Path) -> None:
    broken = document(surprise="Secret Name", purpose="Secret Name")
    text = "\n".join(str(problem) for problem in problems(folder, broken))
    assert text
    assert "Secret" not in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "not readable"),
        ("- a list", "not a mapping"),
        ("order: a\norder: b", "given twice"),
        ("!!python/object/apply:os.system ['true']", "not readable"),
        ("x" * (1 << 21), "larger"),
    ],
)
def test_a_file_that_is_no_order_is_refused(folder: Path, text: str, words: str) -> None:
    found = problems(folder, text)
    assert len(found) == 1
    assert words in found[0].what
    assert found[0].file == "order.yaml"


def test_a_script_file_gives_one_line_a_paragraph(folder: Path) -> None:
    (folder / "script.txt").write_text("First line.\n\n  Second line.  \n", "utf-8")
    path = folder / "order.yaml"
    path.write_text(yaml.safe_dump(document(script="script.txt")), "utf-8")
    read, _, found = read_order(path, TODAY)
    assert found == []
    assert read is not None
    assert [line.text for line in read.script] == ["First line.", "Second line."]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('你好<break time="soon"/>。', "script.markup_value"),
        ("你好<blink>。", "script.markup_unknown"),
        ('<prosody rate="90%">你好。', "script.markup_broken"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><speak>&a;</speak>', "script.markup_forbidden"),
    ],
)
def test_markup_that_could_not_be_spoken_is_refused_with_its_line_and_a_remedy(
    folder: Path, text: str, code: str
) -> None:
    lines = [{"text": "好。"}, {"text": text}]
    (found,) = [one for one in problems(folder, document(script=lines)) if one.code.startswith("script.markup")]
    assert (found.code, found.field, found.file) == (code, "script.1.text", "order.yaml")
    assert found.remedy
    assert "你好" not in str(found)
    (folder / "script.txt").write_text(f"好。\n\n{text}\n", "utf-8")
    assert code in codes(folder, document(script="script.txt"))


def test_markup_that_can_be_spoken_and_plain_signs_are_taken(folder: Path) -> None:
    lines = [{"text": '你好<break time="800ms"/>，<emphasis level="strong">大家</emphasis>。'}, {"text": "3 < 5 & 7"}]
    assert problems(folder, document(script=lines)) == []
