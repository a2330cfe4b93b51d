"""A finding: one thing a gate noticed about the material, the models or the film."""

from pydantic import Field

from memorial_tasks.domain.order import Record
from memorial_tasks.domain.words import Severity


class Finding(Record):
    """What was noticed, on which material (by id, never by name), and what would improve it."""

    code: str
    severity: Severity
    what: str
    remedy: str = ""
    material: str = ""
    value: float | None = None
    limit: float | None = None


class GateReport(Record):
    """The answer of a gate. `passed` is false when any finding is critical."""

    gate: str
    passed: bool
    findings: tuple[Finding, ...] = ()
    measured: dict[str, float] = Field(default_factory=dict)
