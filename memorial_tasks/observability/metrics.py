"""The studio's metrics: a table of what there is, and one pure function from the registry's rows to samples.

Labels come from closed vocabularies (states, steps, decisions, the gates' own codes, GPU models) and are checked again
here: whatever does not look like a machine word becomes ``other``. No label ever holds an order's id, a name or a file
name, so the numbers may be kept and shown for ever.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from memorial_tasks.consent.events import EventType
from memorial_tasks.domain.words import OrderState, Severity
from memorial_tasks.steps.contract import STEPS

Kind = Literal["gauge", "counter", "histogram"]

# Seconds. A no-op step takes half a second, a production training some hours.
BUCKETS = (1.0, 5.0, 15.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0)
# What the gates' rules are about; the rest of a code is ours to name (`photo.blurred`).
_CODE = re.compile(r"(photo|photo_set|voice|voice_set|video|face|film|script|quality|material|consent)\.[a-z_]{1,40}")
_GPU = re.compile(r"(NVIDIA|AMD|Tesla|Quadro|GeForce)[A-Za-z0-9 ._-]{0,60}")
SEVERITIES = tuple(severity.value for severity in Severity)
CONSENT_EVENTS = tuple(kind.value for kind in EventType)
MATTERS, ANSWERS = ("script", "voice", "still", "film", "objection"), ("approved", "rejected")


@dataclass(frozen=True)
class Metric:
    """One metric: `name` without suffix (the exporters add ``_total``, ``_bucket`` ...), its kind and what it says."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


METRICS: tuple[Metric, ...] = (
    Metric("memorial_orders", "gauge", "Orders by where they stand", ("state",)),
    Metric("memorial_order_queue_age_seconds", "gauge", "How long the oldest submitted order has waited to be begun"),
    Metric("memorial_orders_late", "gauge", "Open orders whose promised date has passed"),
    Metric("memorial_step_runs", "gauge", "Step runs by step and state", ("step", "state")),
    Metric("memorial_step_duration_seconds", "histogram", "Wall time of finished steps", ("step",)),
    Metric("memorial_step_retries", "counter", "Attempts beyond the first", ("step",)),
    Metric("memorial_gpu_minutes", "counter", "GPU time of finished steps, in minutes", ("step", "gpu")),
    Metric("memorial_consent_events", "counter", "What happened to consents", ("type",)),
    Metric("memorial_consent_decisions", "gauge", "Consent decisions of the last day", ("decision",)),
    Metric("memorial_gate_findings", "counter", "Findings of the quality gates", ("step", "code", "severity")),
    Metric("memorial_gate_results", "counter", "Answers of the quality gates", ("step", "result")),
    Metric("memorial_review_wait_seconds", "gauge", "How long the oldest order has waited for a person"),
    Metric("memorial_reviews", "counter", "Decisions of reviewers", ("matter", "decision")),
    Metric("memorial_deliveries", "counter", "Films handed out", ("state",)),
    Metric("memorial_erasures_open", "gauge", "Erasures begun and not finished"),
    Metric("memorial_audit_entries", "counter", "Entries of the audit log"),
    Metric("memorial_audit_lag_seconds", "gauge", "Age of the oldest entry that has no place in the log yet"),
    Metric("memorial_audit_checkpoint_age_seconds", "gauge", "Since the newest signed checkpoint"),
    Metric("memorial_audit_anchor_age_seconds", "gauge", "Since a checkpoint was last put outside the database"),
)
BY_NAME: Mapping[str, Metric] = {metric.name: metric for metric in METRICS}


@dataclass(frozen=True)
class Counted:
    """A number of things under labels, as the database counted them."""

    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True)
class Durations:
    """Finished runs of one step: how many took at most each of `BUCKETS` seconds (cumulative), how many in all, and
    their seconds together."""

    step: str
    within: tuple[int, ...]
    count: int
    seconds: float


@dataclass(frozen=True)
class Snapshot:
    """What was read from the registry in one transaction. Ages are seconds; None: there is nothing to have an age."""

    orders: Sequence[Counted] = ()
    late: int = 0
    queue_age: float | None = None
    review_age: float | None = None
    runs: Sequence[Counted] = ()
    durations: Sequence[Durations] = ()
    retries: Sequence[Counted] = ()
    gpu_minutes: Sequence[Counted] = ()
    consent_events: Sequence[Counted] = ()
    decisions: Sequence[Counted] = ()
    findings: Sequence[Counted] = ()
    gates: Sequence[Counted] = ()
    reviews: Sequence[Counted] = ()
    deliveries: Sequence[Counted] = ()
    erasures_open: int = 0
    audit_entries: int = 0
    audit_lag: float | None = None
    checkpoint_age: float | None = None
    anchor_age: float | None = None


@dataclass(frozen=True)
class Sample:
    """One value. For a histogram, `value` is the sum, with the cumulative `buckets` and the `count` beside it."""

    metric: Metric
    labels: Mapping[str, str]
    value: float
    buckets: tuple[int, ...] = field(default=())
    count: int = 0


def word(value: str, known: Iterable[str]) -> str:
    """`value` when it is one of `known`, else ``other``."""
    return value if value in set(known) else "other"


def finding_code(value: str) -> str:
    """The code of a finding as a label, or ``other``."""
    return value if _CODE.fullmatch(value) else "other"


def gpu_model(name: str) -> str:
    """A GPU's model as a label, or ``other``."""
    return name if _GPU.fullmatch(name) else "other"


def _merged(metric: str, labels: Iterator[tuple[tuple[str, ...], float]]) -> Iterator[Sample]:
    """Samples of one metric; rows whose labels became the same are added up."""
    found = BY_NAME[metric]
    sums: dict[tuple[str, ...], float] = {}
    for values, number in labels:
        sums[values] = sums.get(values, 0.0) + number
    for values, number in sorted(sums.items()):
        yield Sample(found, dict(zip(found.labels, values, strict=True)), number)


def _gauge(metric: str, value: float | None) -> Iterator[Sample]:
    if value is not None:
        yield Sample(BY_NAME[metric], {}, max(0.0, float(value)))


def samples(now: Snapshot) -> list[Sample]:
    """Every sample of a snapshot, in the order of `METRICS`. Every order state is there, also with none in it, so that
    an alert on a state works before the first order ever stood in it."""
    states = {state.value: 0.0 for state in OrderState} | {row.labels[0]: row.value for row in now.orders}
    known_states, steps = [state.value for state in OrderState], (*STEPS,)
    made: list[Sample] = []
    made += _merged("memorial_orders", (((word(s, known_states),), n) for s, n in states.items()))
    made += _gauge("memorial_order_queue_age_seconds", now.queue_age or 0.0)
    made += _gauge("memorial_orders_late", now.late)
    made += _merged(
        "memorial_step_runs",
        (((word(r.labels[0], steps), word(r.labels[1], ("running", "done", "failed"))), r.value) for r in now.runs),
    )
    made += [
        Sample(BY_NAME["memorial_step_duration_seconds"], {"step": word(d.step, steps)}, d.seconds, d.within, d.count)
        for d in sorted(now.durations, key=lambda row: row.step)
        if d.step in STEPS
    ]
    made += _merged("memorial_step_retries", (((word(r.labels[0], steps),), r.value) for r in now.retries))
    made += _merged(
        "memorial_gpu_minutes",
        (((word(r.labels[0], steps), gpu_model(r.labels[1])), r.value) for r in now.gpu_minutes),
    )
    made += _merged(
        "memorial_consent_events", (((word(r.labels[0], CONSENT_EVENTS),), r.value) for r in now.consent_events)
    )
    decisions = ("granted", "refused", "frozen")
    made += _merged("memorial_consent_decisions", (((word(r.labels[0], decisions),), r.value) for r in now.decisions))
    made += _merged(
        "memorial_gate_findings",
        (
            ((word(r.labels[0], steps), finding_code(r.labels[1]), word(r.labels[2], SEVERITIES)), r.value)
            for r in now.findings
        ),
    )
    made += _merged(
        "memorial_gate_results",
        (((word(r.labels[0], steps), word(r.labels[1], ("passed", "closed"))), r.value) for r in now.gates),
    )
    made += _gauge("memorial_review_wait_seconds", now.review_age or 0.0)
    made += _merged(
        "memorial_reviews", (((word(r.labels[0], MATTERS), word(r.labels[1], ANSWERS)), r.value) for r in now.reviews)
    )
    made += _merged(
        "memorial_deliveries", (((word(r.labels[0], ("live", "revoked")),), r.value) for r in now.deliveries)
    )
    made += _gauge("memorial_erasures_open", now.erasures_open)
    made += _gauge("memorial_audit_entries", now.audit_entries)
    made += _gauge("memorial_audit_lag_seconds", now.audit_lag or 0.0)
    made += _gauge("memorial_audit_checkpoint_age_seconds", now.checkpoint_age)
    made += _gauge("memorial_audit_anchor_age_seconds", now.anchor_age)
    return made
