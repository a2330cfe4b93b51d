"""The report: sections, the lineage by digest, both languages, and a loud verdict when the log is not genuine."""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, get_args

import pytest

from memorial_tasks.audit import report as reports
from memorial_tasks.audit.verify import Fault, Verification
from memorial_tasks.audit.words import PAPERS
from memorial_tasks.domain.order import EvidenceKind

AT = datetime(2026, 11, 21, tzinfo=UTC)


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def verification(*faults: Fault) -> Verification:
    return Verification(not faults, 5, bytes(32), 1, 5, 0, faults, 0.0, "memorial-studio/x")


def entries() -> list[dict[str, Any]]:
    steps = [
        ("order.submitted", {}, {"material/m1": digest("m1")}),
        ("step.started", {"step": "ingest", "result_key": "k1"}, {"input/x": digest("m1")}),
        ("step.finished", {"step": "ingest", "result_key": "k1"}, {"output/a": digest("a")}),
        ("step.started", {"step": "speak", "result_key": "k2"}, {"input/x": digest("a")}),
        ("step.finished", {"step": "speak", "result_key": "k2"}, {"output/b": digest("b")}),
        ("film.delivered", {}, {"film": digest("b")}),
    ]
    return [
        {"entry": n, "type": kind, "at": "2026-11-21T01:02:03.000Z", "order": "o-1", "data": data, "refs": refs,
         "actor": {"kind": "person", "id": "<script>"}}
        for n, (kind, data, refs) in enumerate(steps)
    ]  # fmt: skip


def test_what_was_made_from_what_is_read_from_digests() -> None:
    made = reports.build("o-1", "order", entries(), verification(), "", AT).made
    assert [(step.step, step.sources) for step in made] == [("ingest", ("material",)), ("speak", ("ingest",))]
    boxes = reports.layout(made)
    assert [(box.column, box.sources) for box in boxes] == [(0, ()), (1, (0,))]


def test_the_page_speaks_both_languages_and_escapes_what_it_shows() -> None:
    page = reports.html(reports.build("o-1", "order", entries(), verification(), "note", AT))
    for text in (
        "审计报告",
        "谁收到了影片",
        "影片已交付",
        "Who received the film",
        "The film was delivered",
        "核验通过",
        "Genuine",
    ):
        assert text in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_papers_are_named_by_what_they_prove_and_by_nothing_else() -> None:
    entered = {
        "type": "evidence.entered",
        "refs": {"consent_event": digest("e"), "paper/1.death": digest("d"), "paper/2.kinship": digest("k"),
                 "paper/3.kinship": digest("l")},
    }  # fmt: skip
    assert reports.sentence(entered, "en") == "The papers of proof were entered: proof of the death, proof of kinship"
    assert reports.sentence(entered, "zh") == "证明文件已登记：死亡证明、亲属关系证明"
    assert set(PAPERS) == set(get_args(EvidenceKind))


def test_a_reader_learns_where_the_film_went_and_how_often_it_was_fetched() -> None:
    delivered = {"type": "film.delivered", "decision": "delivered", "data": {"target": "local"}}
    fetched = {"type": "film.downloaded", "data": {"number": 1, "of": 3}}
    assert reports.sentence(delivered, "en") == "The film was delivered into the studio's delivery folder"
    assert reports.sentence(fetched, "en") == "The film was downloaded (1 of 3 times)"
    assert reports.sentence(fetched, "zh") == "影片被下载（第 1 次，共允许 3 次）"


def test_a_log_that_is_not_genuine_says_so_first() -> None:
    page = reports.html(
        reports.build("o-1", "order", entries(), verification(Fault("changed", "it was changed", 3)), "", AT)
    )
    assert "核验未通过" in page
    assert "NOT genuine: entry 3: it was changed" in page
    assert 'class="verdict good"' not in page


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11", ("2026-11", "2026-11~")),
        ("2026-11-01..2026-11-15", ("2026-11-01", "2026-11-15~")),
        ("demo-2026-001", None),
        ("2026", None),
    ],
)
def test_periods(text: str, expected: tuple[str, str] | None) -> None:
    assert reports.period_of(text) == expected
