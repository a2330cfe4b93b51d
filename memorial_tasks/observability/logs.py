"""One logging for the command, the data plane and the control plane: a JSON line an event, without personal data.

A log line is read by more people, kept longer and copied further than anything else, so it is closed by default:
numbers pass; a string passes when it is a word of the house (a step, a state, a modality), an id with a digit in it, a
digest, or a dotted machine word (``quality.too_few_photos``). Every other string is written as ``[withheld]``, whoever
logged it, and so is a message that was formatted before it got here by code that is not ours. Of an exception the kind
and the place are written, never the text, which may quote a file name or a script line.
"""

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from enum import StrEnum
from typing import IO, Any

from memorial_tasks.domain import words
from memorial_tasks.steps.contract import STEPS

WITHHELD = "[withheld]"
_GUARDED = "memorial_error"  # where `guard_records` leaves kind and places of an exception
OURS = ("memorial", "memorial_tasks")
# ``extra={...}`` that a line may carry.
FIELDS = ("order", "step", "attempt", "seconds", "state", "code", "count")

_VOCABULARY = frozenset(
    {*STEPS}
    | {
        str(word.value)
        for kind in vars(words).values()
        if isinstance(kind, type) and issubclass(kind, StrEnum) and kind is not StrEnum
        for word in kind
    }
    | {"GET", "HEAD", "POST", "PUT", "DELETE", "command", "step", "airflow", "gate"}
)
# An id is given by the studio and has a digit; a lone word could be somebody's name.
_ID = re.compile(r"(?=[a-z0-9-]*\d)[a-z0-9]+(-[a-z0-9]+)+|[0-9a-f]{16,64}")
_DOTTED = re.compile(r"(consent|quality|review|order|step|material|face|voice|film|audit|key|permit|erasure|gate|pod)"
                     r"\.[a-z_]{1,40}")  # fmt: skip
_KIND = re.compile(r"[A-Z][A-Za-z]{2,40}(Error|Exception|Refused|Failed|Unavailable|Timeout|Destroyed|Interrupt)")


class Plain(str):
    """Words the house's own code wrote, a step's progress for instance. Whoever wraps a value in it vouches for it."""

    __slots__ = ()


def clean(value: Any) -> Any:
    """`value` as it may stand in a log: numbers, None and harmless words unchanged, everything else withheld."""
    if value is None or isinstance(value, (bool, int, float, Plain)):
        return value
    text = str(value)
    kind = isinstance(value, str) and _KIND.fullmatch(text)
    if text in _VOCABULARY or _ID.fullmatch(text) or _DOTTED.fullmatch(text) or kind:
        return text
    return WITHHELD


def message(record: logging.LogRecord) -> str:
    """What the record says: the words of the code, with cleaned arguments in them."""
    ours = record.name.split(".")[0] in OURS
    if not isinstance(record.msg, str) or (not ours and not record.args):
        return WITHHELD
    arguments = record.args
    if isinstance(arguments, dict):
        cleaned: Any = {name: clean(value) for name, value in arguments.items()}
    else:
        cleaned = tuple(clean(value) for value in arguments or ())
    if not cleaned:
        return record.msg
    try:
        return str(record.msg % cleaned)
    except (TypeError, ValueError):  # %d with something withheld
        return re.sub(r"%[-+ #0-9.]*[a-zA-Z]", WITHHELD, record.msg)


def _places(error: BaseException) -> list[str]:
    """Where it was raised, outermost first, the last few frames: file:line, no text."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in frames]


class JsonLines(logging.Formatter):
    """One JSON object a line: at, level, component, logger, event, and what `FIELDS` allows."""

    def __init__(self, component: str) -> None:
        super().__init__()
        self.component = component

    def format(self, record: logging.LogRecord) -> str:
        """The line, without a line feed."""
        body: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "component": self.component,
            "logger": record.name,
            "event": message(record),
        }
        body |= {name: clean(getattr(record, name)) for name in FIELDS if hasattr(record, name)}
        error = record.exc_info[1] if record.exc_info else None
        kind, places = (type(error).__name__, _places(error)) if error else getattr(record, _GUARDED, ("", []))
        if kind:
            body |= {"error": kind, "at_code": places}
        if record.levelno >= logging.WARNING:
            body["line"] = f"{record.filename}:{record.lineno}"
        return json.dumps(body, ensure_ascii=True)


def set_up(component: str, *, stream: IO[str] | None = None, level: int = logging.INFO) -> logging.Handler:
    """Send every log line of this process to `stream` (standard error) in this form; calling it again replaces the
    handler. Python's warnings come the same way. Returns the handler."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(component))
    handler.set_name("memorial-json")
    root = logging.getLogger()
    for other in [one for one in root.handlers if one.get_name() == "memorial-json"]:
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(True)
    return handler


def guard_records() -> None:
    """Clean what our own loggers say before any handler sees it: for processes whose handlers are not ours, Airflow's
    above all. Lines of other loggers pass unchanged. Calling it again changes nothing."""
    before = logging.getLogRecordFactory()
    if getattr(before, "memorial", False):
        return

    def factory(*arguments: Any, **keywords: Any) -> logging.LogRecord:
        record = before(*arguments, **keywords)
        # `logging.makeLogRecord`, by which Airflow's formatter copies each record, asks for one without a name first
        if record.name and record.name.split(".")[0] in OURS:
            record.msg, record.args = message(record), ()
            if record.exc_info and record.exc_info[1] is not None:
                kind, places = type(record.exc_info[1]).__name__, _places(record.exc_info[1])
                record.msg += f" ({kind} at {' < '.join(reversed(places))})"
                setattr(record, _GUARDED, (kind, places))
                record.exc_info = None
        return record

    factory.memorial = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(factory)
