"""Errors that a person can act on: what went wrong, where, and what to do about it.

No message may carry personal data (a name, a script line, a path chosen by the family beyond the
material's own file name), because messages travel into logs and into Airflow's database.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with what somebody gave us.

    `field` is the dotted path in the document (``subject.died``) or the step parameter, `file` the
    file it was found in, relative to the order, `code` a stable machine word (``photo.no_face``).
    """

    code: str
    what: str
    remedy: str
    field: str = ""
    file: str = ""

    def __str__(self) -> str:
        where = " ".join(part for part in (self.field, f"[{self.file}]" if self.file else "") if part)
        return f"{where + ': ' if where else ''}{self.what}. {self.remedy}"


class MemorialError(Exception):
    """Base of every error this library raises on purpose. `retryable` decides what Airflow does."""

    retryable = False

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.remedy = what, where, remedy

    def __str__(self) -> str:
        parts = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.remedy:
            parts.append(self.remedy)
        return ". ".join(part.rstrip(".") for part in parts) + "."


class InputRefused(MemorialError):
    """What was submitted cannot be accepted; carries every problem found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        super().__init__(f"{count} problem{'s' if count != 1 else ''} found; nothing was stored")

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"  - {problem}" for problem in self.problems)])


class ConsentRefused(MemorialError):
    """Consent does not cover this act now. Never retried."""


class PermitRefused(ConsentRefused):
    """The permit is missing, forged, expired, replayed or revoked, so no key is released."""


class QualityRefused(MemorialError):
    """A quality gate found something critical. Never retried."""


class ModelRefused(MemorialError):
    """Weights that may not or cannot be used: wrong digest, format, architecture or licence."""


class IntegrityError(MemorialError):
    """Stored bytes are not the bytes that were written: stop, touch nothing, call a person."""


class StepFailed(MemorialError):
    """A step ended without a result for a reason that may pass (killed, out of memory, no space)."""

    retryable = True


class Unavailable(MemorialError):
    """Something we depend on does not answer (database, store, key service, Airflow)."""

    retryable = True
