"""Putting things before a person, and what that person decided. A decision is bound to exactly what was judged."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from memorial_tasks.consent.events import same_person
from memorial_tasks.consent.registry import audit_word, current
from memorial_tasks.consent.sealing import KeyringSealer
from memorial_tasks.database import registry
from memorial_tasks.database.connection import Connection
from memorial_tasks.database.registry import OrderRow, StepRunRow
from memorial_tasks.domain.words import OrderState, Purpose
from memorial_tasks.errors import ConsentRefused, InputRefused, MemorialError, Problem
from memorial_tasks.production.consents import require_consent
from memorial_tasks.production.gates import REPORT_FILES, export_document, export_report
from memorial_tasks.production.orders import OPEN
from memorial_tasks.production.steps import current_result
from memorial_tasks.production.studio import Studio, Who

FILM_STEP = "seal"
WIDE = Purpose.PUBLIC_MEMORIAL  # from this purpose on two persons have to approve


@dataclass(frozen=True)
class Point:
    """A place on the way where a person may be asked: `artifact` of `step` is judged; the script has no step."""

    name: str
    step: str
    artifact: str
    shown: tuple[str, ...]  # what is put before the reviewer
    findings: str  # the step whose metrics and findings stand beside it
    beside: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # what other steps made that helps to judge it


POINTS: Mapping[str, Point] = {
    "script": Point("script", "", "script.json", ("script.json", "subtitles.json"), ""),
    "voice": Point("voice", "speak", "speech.wav", ("speech.wav",), "speak"),
    "still": Point(
        "still",
        "train_face",
        "face/sheet.png",
        ("face/sheet.png", "face/growth.png", "face/album.png"),
        "train_face",
        {"prepare_face": ("face/parsing.png",)},
    ),
    "film": Point("film", FILM_STEP, "film.mp4", ("film.mp4",), "output_gate", {"output_gate": REPORT_FILES}),
}

# What each picture is, for whoever has to judge by it.
CAPTIONS: Mapping[str, str] = {
    "sheet.png": "The face, moved as in a film. This is what you approve.",
    "growth.png": "How it was learned: a row each before training and after 10, 50 and 100 % of it. On the right, "
    "where photos were kept apart: the real photo beside the made one.",
    "album.png": "Invented portraits of the training. The film is never made from them.",
    "parsing.png": "What was taken for skin, hair, brows, eyes, lips and clothes in the photo the face is made from.",
    "contact-sheet.png": "Frames of the film, in its order.",
    "spectrogram.png": "The film's sound.",
}

# Why something was rejected, and which step is done otherwise because of it: it gets a new seed, and with it every
# result that was built on it. An empty step means that trying again changes nothing by itself.
CAUSES: Mapping[str, str] = {
    "script": "",  # a new script is needed, and consent to it
    "voice": "train_voice",
    "speech": "speak",
    "face": "train_face",
    "motion": "animate",
    "film": "",  # picture, sound, subtitles or label: something has to be mended first
    "other": "",
}


def points_of(configured: str) -> tuple[Point, ...]:
    """The points where this studio asks a person, in the order of the way."""
    wanted = {word.strip() for word in configured.split(",")}
    return tuple(point for point in POINTS.values() if point.name in wanted)


def result_of(studio: Studio, connection: Connection, order: OrderRow, point: Point) -> StepRunRow:
    """The step's result that is judged, as the order stands now; `MemorialError` when there is none."""
    row = current_result(studio, connection, order, point.step)
    if row is None and registry.latest_step(connection, order.order_id, point.step):
        raise MemorialError(
            f"this {point.name} was made by code or of material that has changed since; it cannot be decided on",
            where=order.order_id,
            remedy=f"memorial order run {order.order_id} makes anew what changed, and asks then",
        )
    if row is None:
        raise MemorialError(f"there is no {point.name} yet", where=order.order_id, remedy="run the order")
    return row


def outdated(studio: Studio, order_id: str) -> bool:
    """True when the open question is about something that would be made otherwise now, as after an update of the
    studio's code: no answer can count, and the run that asks has to give way to a new one."""
    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
        point = open_point(order)
        return point is not None and bool(point.step) and current_result(studio, connection, order, point.step) is None


def film_of(studio: Studio, connection: Connection, order: OrderRow) -> StepRunRow:
    """The sealed film of the order as it stands; `MemorialError` when there is none."""
    return result_of(studio, connection, order, POINTS["film"])


def film_digest(row: StepRunRow) -> str:
    """sha256 of the sealed film's bytes."""
    return _digest_in(row, POINTS["film"])


def _digest_in(row: StepRunRow, point: Point) -> str:
    for artifact in row.outputs:
        if artifact.name == point.artifact:
            return artifact.sha256
    raise MemorialError(f"{row.step} left no {point.artifact}", where=row.order_id, remedy="run the order again")


def judged(studio: Studio, connection: Connection, order: OrderRow, point: Point) -> str:
    """sha256 of what is judged at this point, as the order stands now."""
    if not point.step:
        return order.script_sha256
    return _digest_in(result_of(studio, connection, order, point), point)


def open_since(studio: Studio, order_id: str, point: Point) -> datetime:
    """Since when an answer at this point speaks of what lies there now and was not acted upon yet: since it was made,
    and since the last decision here. An answer from before would decide again what a person was to be asked anew."""
    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
        decided = [one.decided_at for one in registry.list_reviews(connection, order_id)
                   if one.subject_matter == point.name]  # fmt: skip
        made = result_of(studio, connection, order, point).finished_at if point.step else order.created_at
    if made is None:
        raise MemorialError("it is not finished", where=order_id, remedy="run the order again")
    return max([made, *decided])


def persons_needed(order: OrderRow, point: Point) -> int:
    """How many different persons have to approve: two for a film that strangers will see."""
    return 2 if point.name == "film" and order.purpose.breadth >= WIDE.breadth else 1


def entered_by(studio: Studio, connection: Connection, order_id: str) -> str:
    """Who entered the order, out of its signed history."""
    return current(connection, order_id, studio.keys.trusted, KeyringSealer(studio.keyring)).events[0].actor


def _counted(studio: Studio, connection: Connection, order: OrderRow, names: Iterable[str]) -> list[str]:
    """The approvers that count: each person once, and not the one who entered the order where that is the rule."""
    counted: list[str] = []
    for name in names:
        if not any(same_person(name, other) for other in counted):
            counted.append(name)
    if studio.settings.review_by_others:
        entered = entered_by(studio, connection, order.order_id)
        counted = [name for name in counted if not same_person(name, entered)]
    return counted


def missing(studio: Studio, connection: Connection, order: OrderRow, point: Point) -> int:
    """How many more persons have to approve exactly what lies there now; 0 when it is approved."""
    names = registry.approvers(connection, order.order_id, point.name, judged(studio, connection, order, point))
    return max(0, persons_needed(order, point) - len(_counted(studio, connection, order, names)))


def open_review(studio: Studio, order_id: str, point: Point, second: bool, who: Who) -> str | None:
    """Put the order before a person; returns the digest of what is to be judged, None when nobody has to be asked."""
    if point not in points_of(studio.settings.review_at):
        return None
    with studio.transaction() as connection:
        order = studio.order(connection, order_id, lock=True)
        lacking = missing(studio, connection, order, point)
        if lacking == 0 or (not second and lacking < persons_needed(order, point)):
            return None
        digest = judged(studio, connection, order, point)
        states = (OrderState.RUNNING,)
        if registry.set_state(connection, order_id, OrderState.IN_REVIEW, allowed_from=states, stage=who.task_id):
            studio.audit(connection, "review.opened", who, order, refs={point.name: digest}, data={"at": point.name})
    return digest


def may_answer(studio: Studio, order_id: str, point: Point, reviewer: str) -> str:
    """Why this person's approval would not count, as a machine word; empty when it would."""
    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
        entered = entered_by(studio, connection, order_id)
        if studio.settings.review_by_others and same_person(reviewer, entered):
            return "review.own_order"
        digest = judged(studio, connection, order, point)
        given = registry.approvers(connection, order_id, point.name, digest)
    return "review.same_person" if any(same_person(reviewer, name) for name in given) else ""


def note_uncounted(studio: Studio, order_id: str, point: Point, reviewer: str, code: str, who: Who) -> None:
    """Audit an approval that does not count, so that an auditor sees the attempt."""
    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
        actor = Who("person", audit_word(reviewer), *_run_of(who))
        studio.audit(connection, "review.uncounted", actor, order, reason_code=code, data={"at": point.name})


def check_causes(causes: Iterable[str]) -> tuple[str, ...]:
    """The causes in the order of the way; `InputRefused` for a word that is none."""
    given = set(causes)
    unknown = sorted(given - set(CAUSES))
    if unknown:
        what, remedy = f"{len(unknown)} unknown cause(s)", f"one of {', '.join(CAUSES)}"
        raise InputRefused([Problem("review.cause", what, remedy, field="cause")])
    return tuple(cause for cause in CAUSES if cause in given)


def record_decision(
    studio: Studio,
    order_id: str,
    point: Point,
    *,
    approved: bool,
    reviewer: str | None,
    reason: str,
    review_id: str,
    who: Who,
    causes: Iterable[str] = (),
) -> bool:
    """Store what the reviewer decided about what lies before them; returns whether it is an approval.

    No responder is no approval: a time-out answers "Reject" and nobody's name stands under it. A rejection says by its
    causes what the next try changes; that is written down with it, once.
    """
    verdict = approved and reviewer is not None
    named = () if verdict else check_causes(causes)
    code = "" if verdict else _reason_code(reviewer, named)
    actor = Who("person" if reviewer else "service", audit_word(reviewer or "timeout"), *_run_of(who))
    with studio.transaction() as connection:
        order = studio.order(connection, order_id, lock=True)
        if any(row.review_id == review_id for row in registry.list_reviews(connection, order_id)):
            return verdict  # an earlier try of this task wrote it down
        shown = judged(studio, connection, order, point)
        registry.record_review(
            connection,
            order_id,
            review_id,
            subject_matter=point.name,
            decision="approved" if verdict else "rejected",
            reviewer=reviewer or "nobody",
            digest=shown,
            reason=reason[:500],
            causes=named,
        )
        studio.audit(
            connection,
            "review.decided",
            actor,
            order,
            decision="approved" if verdict else "rejected",
            reason_code=code,
            refs={point.name: shown},
            data={"at": point.name} | ({"causes": ".".join(named)} if named else {}),
        )
        _revise(studio, connection, order, named, actor)
        if verdict:
            registry.set_state(connection, order_id, OrderState.RUNNING, allowed_from=(OrderState.IN_REVIEW,))
        else:
            words = reason[:500] or "the reviewer gave no reason"
            registry.set_state(
                connection,
                order_id,
                OrderState.REJECTED,
                allowed_from=OPEN,
                reason_code=code,
                reason=words,
                stage=who.task_id,
            )
    if point.name != "film":
        # An unlabelled sample has done its duty; only the sealed film may lie about.
        shutil.rmtree(studio.settings.reports_dir / order_id / (point.step or "script"), ignore_errors=True)
    return verdict


def _run_of(who: Who) -> tuple[str, str, str, int]:
    return who.dag_id, who.run_id, who.task_id, who.attempt


def _reason_code(reviewer: str | None, causes: tuple[str, ...]) -> str:
    if reviewer is None:
        return "review.timeout"
    return f"review.{causes[0]}" if causes else "review.rejected"


def _revise(studio: Studio, connection: Connection, order: OrderRow, causes: tuple[str, ...], who: Who) -> None:
    """Give every step that is to be done otherwise a new seed; each change is an audit entry of its own."""
    revisions = dict(order.revisions)
    for step in dict.fromkeys(CAUSES[cause] for cause in causes if CAUSES[cause]):
        revisions[step] = revisions.get(step, 0) + 1
        data = {"step": step, "revision": revisions[step], "changes": "seed"}
        studio.audit(connection, "order.revised", who, order, data=data)
    if revisions != order.revisions:
        registry.set_revisions(connection, order.order_id, revisions)


def open_point(order: OrderRow) -> Point | None:
    """The point whose question is open on this order, or None."""
    if order.state is not OrderState.IN_REVIEW:
        return None
    name = order.stage.removeprefix("review_").removesuffix("_second")
    return POINTS.get(name, POINTS["film"])


def export_preview(studio: Studio, order_id: str, who: Who, point: Point = POINTS["film"]) -> dict[str, Any]:
    """What the reviewer has to see, hear or read, with findings and metrics; the look itself is audited."""
    if point.step:
        folders = [export_report(studio, order_id, point.step, point.shown)]
        folders += [export_report(studio, order_id, step, names) for step, names in point.beside.items()]
    else:
        folders = [export_document(studio, order_id, point.shown)]
    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
        row = _shown(studio, connection, order, point)
        digest = _digest_in(row, point) if row else order.script_sha256
        beside = registry.latest_step(connection, order_id, point.findings) if point.findings else None
        data = {"at": point.name}
        studio.audit(connection, "review.shown", who, order, refs={point.name: digest}, data=data)
    metrics = dict(beside.metrics) if beside else {}
    findings = metrics.pop("findings", [])
    found = [path for folder in folders for path in in_order(folder, point) if _opened(path)]
    return {
        "order": order_id,
        "at": point.name,
        "sha256": digest,
        "files": {path.name: str(path) for path in found},
        "findings": findings,
        "metrics": metrics,
    }


def in_order(folder: Path, point: Point) -> list[Path]:
    """The exported files of one step: what is put before the reviewer in the order in which the point names it, so that
    what is judged comes first; then what else lies there."""
    named = [path for name in point.shown if (path := folder / name).is_file()]
    return named + sorted(path for path in folder.rglob("*") if path.is_file() and path not in named)


def _opened(path: Path) -> bool:
    """Whether a reviewer opens this file themselves: of the report's own site that is its first page only."""
    site = next((parent for parent in path.parents if parent.name == "data_docs"), None)
    return site is None or path == site / "index.html"


def _shown(studio: Studio, connection: Connection, order: OrderRow, point: Point) -> StepRunRow | None:
    """The result that was exported: of the order as it stands, or the newest one when the code moved on."""
    if not point.step:
        return None
    row = current_result(studio, connection, order, point.step)
    row = row or registry.latest_step(connection, order.order_id, point.step)
    if row is None:
        raise MemorialError(f"there is no {point.name} yet", where=order.order_id, remedy="run the order")
    return row


def require_release(studio: Studio, order_id: str, who: Who) -> str:
    """Consent and approval, read again from the registry, for exactly the film about to go out.

    Every point where this studio asks a person must be approved as it stands now, by as many different persons as
    the purpose needs. Raises `ConsentRefused`. Called before delivery, because skips and "mark success" in Airflow
    open no gate here.
    """
    require_consent(studio, order_id, who)
    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
        film = judged(studio, connection, order, POINTS["film"])
        gate_row = current_result(studio, connection, order, "output_gate")
        if gate_row is None or gate_row.metrics.get("passed") is not True:
            raise ConsentRefused("this film did not pass the output gate", where=order_id, remedy="run the order again")
        for point in points_of(studio.settings.review_at):
            lacking = missing(studio, connection, order, point)
            if lacking:
                persons = "no person has" if persons_needed(order, point) == lacking else "not enough persons have"
                raise ConsentRefused(
                    f"{persons} approved exactly this {point.name}",
                    where=order_id,
                    remedy="see 'memorial review list'",
                )
    return film
