"""Log lines are JSON, useful, and closed to everything a family wrote."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from memorial_tasks.observability import logs
from memorial_tasks.observability.logs import WITHHELD, Plain, clean, guard_records, set_up

HOSTILE = (
    "Maria", "Großmutter Lili", "maria.jpg", "IMG_2041 Oma.jpeg", "我爱你们，孩子们。", "papers/kinship.pdf",
    "Remember the garden in 1962?", "+49 170 1234567", "lili@example.org", "jean-pierre", "1931-04-02 born",
)  # fmt: skip


@pytest.fixture
def lines() -> Iterator[Any]:
    root = logging.getLogger()
    level, factory, stream = root.level, logging.getLogRecordFactory(), io.StringIO()
    # The test runner catches warnings anew in every test; a hook left by an earlier one would look set and catch none.
    logging.captureWarnings(False)
    handler = set_up("command", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.removeHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(False)
    logging.setLogRecordFactory(factory)


@pytest.mark.parametrize("value", HOSTILE)
def test_nothing_a_family_wrote_reaches_a_line(lines: Any, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The test runner's own handlers choke on "%d" with a string; ours must not.
    ours = [handler for handler in logging.getLogger().handlers if handler.get_name() == "memorial-json"]
    monkeypatch.setattr(logging.getLogger(), "handlers", ours)
    log = logging.getLogger("memorial_tasks.production.steps")
    log.info("step %s of %s", "speak", value)
    log.warning("%(what)s and %(count)d", {"what": value, "count": 3})
    log.error("%d items", value)
    log.info("fields", extra={"order": value, "step": value, "state": value, "anything": value})
    try:
        raise ValueError(value)
    except ValueError:
        log.exception("it failed")
    logging.getLogger("some.library").info("read %s", value)
    logging.getLogger("some.library").error(f"could not open {value}")
    warnings.warn(value, stacklevel=1)
    text = json.dumps(lines(), ensure_ascii=False)
    assert len(lines()) == 8
    assert value not in text
    assert WITHHELD in text


def test_what_an_operator_needs_is_there(lines: Any) -> None:
    log = logging.getLogger("memorial_tasks.production.steps")
    log.info("step %s of %s: %d tries, %.1f s", "train_face", "demo-2026-001", 2, 3.25)
    log.warning("refused", extra={"order": "demo-2026-001", "code": "quality.too_few_photos", "count": 3})
    first, second = lines()
    assert first["event"] == "step train_face of demo-2026-001: 2 tries, 3.2 s"
    assert (first["level"], first["component"], first["logger"]) == ("info", "command", log.name)
    assert first["at"].endswith("+00:00")
    assert second | {"order": "demo-2026-001", "code": "quality.too_few_photos", "count": 3} == second
    assert second["line"].startswith("test_logs.py:")


def test_an_exception_is_its_kind_and_place(lines: Any) -> None:
    try:
        raise FileNotFoundError(2, "No such file", "/family/Oma.jpg")
    except FileNotFoundError:
        logging.getLogger("memorial_tasks.vault").exception("reading failed")
    (line,) = lines()
    assert line["error"] == "FileNotFoundError"
    assert line["at_code"][-1].startswith("test_logs.py:")
    assert "Oma" not in json.dumps(line)


@pytest.mark.parametrize(
    "value", ["speak", "delivered", "face", "a3" * 16, "order-2026-7", "consent.refused", "PermitRefused", 4, 2.5, None]
)
def test_words_of_the_house_pass(value: Any) -> None:
    assert clean(value) == value


def test_setting_up_twice_writes_each_line_once(lines: Any) -> None:
    stream = io.StringIO()
    handler = set_up("command", stream=stream)
    logging.getLogger("memorial_tasks").info("once")
    logging.getLogger().removeHandler(handler)
    assert len(stream.getvalue().splitlines()) == 1
    assert lines() == []


def test_under_foreign_handlers_our_records_are_clean_and_others_untouched(lines: Any) -> None:
    guard_records()
    guard_records()
    seen: list[str] = []

    class Foreign(logging.Handler):
        """Stands for Airflow's handlers, which format records their own way."""

        def emit(self, record: logging.LogRecord) -> None:
            seen.append(self.format(record))

    foreign = Foreign()
    logging.getLogger().addHandler(foreign)
    try:
        logging.getLogger("memorial_tasks.airflow").info("hello %s", "Maria")
        try:
            raise ValueError("Maria")
        except ValueError:
            logging.getLogger("memorial_tasks.airflow").exception("failed")
        logging.getLogger("airflow.task").info("dag %s", "memorial_order")
    finally:
        logging.getLogger().removeHandler(foreign)
    assert seen[0] == f"hello {WITHHELD}"
    assert seen[1].startswith("failed (ValueError at test_logs.py:")
    assert seen[2] == "dag memorial_order"
    assert "Maria" not in "".join(seen)


def test_a_record_can_be_copied_by_whoever_formats_it(lines: Any) -> None:
    """As structlog's formatter does in every task of Airflow; where it failed, each line became a traceback."""
    guard_records()
    record = logging.getLogger("memorial_tasks.production").makeRecord(
        "memorial_tasks.production", logging.INFO, __file__, 1, "%s %3.0f %%", (Plain("train_face"), 54.0), None
    )
    copied = logging.makeLogRecord(record.__dict__)
    assert copied.getMessage() == record.getMessage() == "train_face  54 %"


def test_no_line_of_ours_is_formatted_before_it_is_logged() -> None:
    """An f-string in a log call would carry a value past the cleaning."""
    import ast
    from pathlib import Path

    package = Path(logs.__file__).resolve().parents[1]
    found = []
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in {"debug", "info", "warning", "error", "exception", "critical"}
                and ast.unparse(node.func.value).split(".")[-1] in {"log", "logger", "logging", "_log"}
                and node.args
                and not isinstance(node.args[0], ast.Constant)
            ):
                found.append(f"{path.relative_to(package)}:{node.lineno}")
    assert found == []
