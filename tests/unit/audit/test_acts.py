"""Every kind of act has its entry, and every entry its words: read from the code itself, so that a new act cannot be
forgotten. (That the acts really write them is tested where the acts are, and in a whole order's trail.)"""

import ast
from pathlib import Path

import pytest

import memorial_tasks
from memorial_tasks.audit.words import EVENTS, SECTIONS
from memorial_tasks.consent.events import EventType
from memorial_tasks.consent.registry import _AUDIT_TYPE

PACKAGE = Path(memorial_tasks.__file__).parent
DOCS = PACKAGE.parent / "docs" / "audit-format.md"

# What the log promises to cover, and the entries that do it.
ACTS = {
    "intake": {"order.submitted"},
    "evidence approval": {"evidence.entered", "evidence.approved"},
    "consent decisions": {"consent.decided", "consent.given", "consent.withdrawn", "consent.objected"},
    "permits and key releases": {"permit.issued", "key.released", "key.refused"},
    "gates": {"gate.passed", "gate.failed"},
    "steps and failed attempts": {"step.started", "step.finished", "step.failed"},
    "who triggered": {"order.requested", "order.started"},
    "review decisions": {"review.opened", "review.shown", "review.decided"},
    "deliveries and downloads": {"film.delivered", "film.downloaded"},
    "link revocations": {"link.issued", "link.revoked"},
    "erasures": {"subject.erased"},
    "configuration changes": {"settings.changed", "key.rotated"},
    "missed anchors": {"anchor.missed"},
}


def _strings(node: ast.AST) -> set[str]:
    return {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def written_types() -> set[str]:
    """First words of the ``audit`` calls, ``type`` of every entry made directly, and the consent events."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "kind" for t in node.targets):
                found |= {text for text in _strings(node.value) if text.startswith(("gate.", "film.", "link."))}
            if not isinstance(node, ast.Call):
                continue
            if getattr(node.func, "attr", "") == "audit" and len(node.args) > 1:
                found |= _strings(node.args[1])
            if getattr(node.func, "id", "") == "AuditEvent":
                for keyword in node.keywords:
                    found |= _strings(keyword.value) if keyword.arg == "type" else set()
    found |= {_AUDIT_TYPE.get(kind, f"consent.{kind.value}") for kind in EventType}
    return {kind for kind in found if "." in kind and not kind.endswith(".")}


@pytest.mark.parametrize("act", ACTS)
def test_the_act_is_written_into_the_log(act: str) -> None:
    assert ACTS[act] <= written_types()


def test_every_entry_has_words_in_both_languages() -> None:
    assert sorted(written_types() - EVENTS.keys()) == []
    assert all(chinese and english for chinese, english in EVENTS.values())


def test_every_entry_is_in_the_published_format() -> None:
    text = DOCS.read_text("utf-8")
    assert sorted(kind for kind in EVENTS if f"`{kind}`" not in text) == []


def test_the_report_s_sections_gather_entries_that_exist() -> None:
    for _, _, kinds, _ in SECTIONS:
        assert all(any(event == kind or event.startswith(kind) for event in EVENTS) for kind in kinds)
