"""The audit report: what the log says about an order, a subject or a period, for a reader without computer
knowledge, in Chinese and English, with a picture of what was made from what and the result of the proof.

What happened comes from the log alone, so that the report can still be made after an erasure. Names come from the
vault, while its key lives and whoever makes the report wants them (`Person`); the log holds none. `build` gathers the
facts once; `html` and `memorial_tasks.audit.pages` show them.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from memorial_tasks.audit.verify import Verification
from memorial_tasks.audit.words import (
    ACTORS,
    DECISIONS,
    EVENTS,
    PAPERS,
    PURPOSES,
    RELATIONS,
    SECTIONS,
    STEPS,
    TARGETS,
    Tongue,
    word,
)

_TEMPLATE = Path(__file__).with_name("report.html")
PERIOD = re.compile(r"(\d{4}-\d{2}(?:-\d{2})?)(?:\.\.(\d{4}-\d{2}(?:-\d{2})?))?")
Entry = dict[str, Any]
_SAYS_IT_ITSELF = ("gate.passed", "gate.failed", "film.delivered", "permit.issued", "key.refused")


@dataclass(frozen=True)
class Made:
    """A finished step in the lineage: `sources` are the steps (or ``material``) whose files it read."""

    step: str
    entry: int
    at: str
    files: int
    digest: str  # of its first output, shortened
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Person:
    """Somebody the report is about, as the family's order names them. `part` is ``subject`` or the relation."""

    order: str
    part: str
    name: str


@dataclass(frozen=True)
class Report:
    """The facts of a report."""

    about: str
    kind: str  # order, subject, period
    entries: tuple[Entry, ...]
    made: tuple[Made, ...]
    verification: Verification
    made_at: datetime
    checkpoint: str
    people: tuple[Person, ...] = ()


def period_of(text: str) -> tuple[str, str] | None:
    """(first, last) as prefixes of times for ``2026-11``, ``2026-11-21`` or ``2026-11-01..2026-11-15``; else None."""
    match = PERIOD.fullmatch(text)
    if match is None:
        return None
    return match[1], (match[2] or match[1]) + "~"


def build(
    about: str,
    kind: str,
    entries: Sequence[Entry],
    verification: Verification,
    checkpoint: str,
    made_at: datetime,
    people: Sequence[Person] = (),
) -> Report:
    """Gathers the facts from the log's entries (``{"entry": number, ...}``, in order)."""
    made = tuple(_lineage(entries))
    return Report(about, kind, tuple(entries), made, verification, made_at, checkpoint, tuple(people))


def people(report: Report, tongue: Tongue) -> list[str]:
    """Who the report is about, a line an order; without names when the vault has none."""
    if not report.people:
        if tongue == "zh":
            return ["本报告不含姓名：日志只保存代号和文件指纹。"]
        return ["This report holds no names: the log keeps pseudonyms and fingerprints of files only."]
    lines = []
    for order in dict.fromkeys(person.order for person in report.people):
        named = [
            f"{word(RELATIONS, person.part, tongue)}{'：' if tongue == 'zh' else ': '}{person.name}"
            for person in report.people
            if person.order == order
        ]
        lines.append(f"{order} · " + ("；" if tongue == "zh" else "; ").join(named))
    if tongue == "zh":
        return [*lines, "姓名取自加密的保管库，不在日志中；请勿公开本报告。"]
    return [*lines, "The names come from the encrypted vault, not from the log; keep this report private."]


def of_section(report: Report, types: Iterable[str]) -> list[Entry]:
    """The entries whose type is, or begins with, one of `types`."""
    wanted = tuple(types)
    return [
        e
        for e in report.entries
        if any(e["type"] == t or (t.endswith(".") and e["type"].startswith(t)) for t in wanted)
    ]


def sentence(entry: Entry, tongue: Tongue) -> str:
    """What an entry says, in one line."""
    parts = [word(EVENTS, entry["type"], tongue)]
    data = entry.get("data", {})
    if step := data.get("step") or data.get("gate"):
        parts.append(f"（{word(STEPS, step, tongue)}）" if tongue == "zh" else f" ({word(STEPS, step, tongue)})")
    if purpose := data.get("purpose"):
        name = word(PURPOSES, purpose, tongue)
        parts.append(f"；用途：{name}" if tongue == "zh" else f"; purpose: {name}")
    if "materials" in data:
        count = data["materials"]
        papers = sum("/evidence/" in name for name in entry.get("refs", {}))
        parts.append(f"；{count} 份文件" if tongue == "zh" else f"; {count} files")
        if papers:
            parts.append(f"，其中证明文件 {papers} 份" if tongue == "zh" else f", {papers} of them papers of proof")
    if target := data.get("target") if entry["type"] == "film.delivered" else None:
        place = word(TARGETS, str(target), tongue)
        parts.append(f"：{place}" if tongue == "zh" else f" {place}")
    if entry["type"] == "film.downloaded" and {"number", "of"} <= data.keys():
        number, allowed = data["number"], data["of"]
        parts.append(
            f"（第 {number} 次，共允许 {allowed} 次）" if tongue == "zh" else f" ({number} of {allowed} times)"
        )
    if kinds := [name.rpartition(".")[2] for name in entry.get("refs", {}) if name.startswith("paper/")]:
        named = [word(PAPERS, kind, tongue) for kind in sorted(set(kinds), key=kinds.index)]
        parts.append("：" + "、".join(named) if tongue == "zh" else ": " + ", ".join(named))
    if (decision := entry.get("decision")) and entry["type"] not in _SAYS_IT_ITSELF:
        parts.append(("：" if tongue == "zh" else ": ") + word(DECISIONS, decision, tongue))
    if code := entry.get("reason_code"):
        parts.append(f"［{code}］" if tongue == "zh" else f" [{code}]")
    return "".join(parts)


def who(entry: Entry, tongue: Tongue) -> str:
    """Who did it."""
    actor = entry["actor"]
    return f"{word(ACTORS, actor['kind'], tongue)} {actor['id']}"


def verdict(report: Report, tongue: Tongue) -> str:
    """The proof's result in a sentence."""
    found = report.verification
    if found.ok:
        return (
            f"核验通过：日志中全部 {found.size} 条记录与已签名的检查点一致，"
            f"其中 {found.anchored} 条另有数据库以外的存证。"
            if tongue == "zh"
            else f"Genuine: all {found.size} entries of the log agree with the signed checkpoints; {found.anchored} of"
            " them are confirmed by copies kept outside the database."
        )
    first = found.first_bad
    return f"核验未通过：{first}" if tongue == "zh" else f"NOT genuine: {first}"


def html(report: Report) -> str:
    """One self-contained page, both languages, printable, without scripts."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        report=report,
        tongues=("zh", "en"),
        sections=SECTIONS,
        of_section=of_section,
        sentence=sentence,
        who=who,
        people=people,
        verdict=verdict,
        boxes=layout(report.made),
        word=word,
        steps=STEPS,
    )


@dataclass(frozen=True)
class Box:
    """A step in the picture: a column and row, and the boxes it came from."""

    made: Made
    column: int
    row: int
    sources: tuple[int, ...]


def layout(made: Sequence[Made]) -> list[Box]:
    """Places the lineage: a step stands one column right of the last thing it used."""
    boxes: list[Box] = []
    place: dict[str, int] = {}
    rows: dict[int, int] = {}
    for step in made:
        sources = tuple(sorted(place[name] for name in step.sources if name in place))
        column = max((boxes[source].column + 1 for source in sources), default=0)
        row = rows.get(column, 0)
        rows[column] = row + 1
        place[step.step] = len(boxes)
        boxes.append(Box(step, column, row, sources))
    # a long arrow is left out when a nearer step used the same thing: the picture stays readable
    nearest = {s: min(b.column for b in boxes if s in b.sources) for b in boxes for s in b.sources}
    return [
        Box(b.made, b.column, b.row, tuple(s for s in b.sources if b.column <= max(boxes[s].column + 2, nearest[s])))
        for b in boxes
    ]


def _lineage(entries: Sequence[Entry]) -> list[Made]:
    """What was made from what, by digest: an input of a step is the output of the step that wrote those bytes."""
    origin: dict[str, str] = {}
    inputs: dict[tuple[str, str], list[str]] = {}
    made: dict[str, Made] = {}
    for entry in entries:
        refs, data = entry.get("refs", {}), entry.get("data", {})
        if entry["type"] == "order.submitted":
            origin |= {digest: "material" for name, digest in refs.items() if name.startswith("material/")}
        elif entry["type"] == "step.started":
            inputs[entry.get("order", ""), data.get("result_key", "")] = list(refs.values())
        elif entry["type"] == "step.finished":
            step = str(data.get("step", "?"))
            used = inputs.get((entry.get("order", ""), data.get("result_key", "")), [])
            sources = tuple(sorted({origin[digest] for digest in used if digest in origin} - {step}))
            outputs = [digest for name, digest in refs.items() if name.startswith("output/")] or list(refs.values())
            made[step] = Made(step, entry["entry"], entry["at"], len(outputs), (outputs or [""])[0][:12], sources)
            origin |= dict.fromkeys(outputs, step)
    return list(made.values())
