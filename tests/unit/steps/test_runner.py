"""What is made of the way a step ended: by what lies in the vault, what it said, and its exit status, in that order."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from memorial_tasks.domain.job import ArtifactRef, Result
from memorial_tasks.errors import (
    InputRefused,
    IntegrityError,
    MemorialError,
    PermitRefused,
    QualityRefused,
    StepFailed,
)
from memorial_tasks.steps.process import EXIT_PERMIT, EXIT_REFUSED, EXIT_RETRY, failure_event, leave_failure
from memorial_tasks.steps.runner import Ended, Ticket, local_command, outcome
from memorial_tasks.vault.store import LocalStore

TICKET = Ticket("order-1", "direct", "k" * 64, "c" * 16, "vault://orders/order-1/direct/kkkk", "permit-2")


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "vault")


def put(store: LocalStore, name: str, body: bytes) -> None:
    path = store.root / "orders/order-1/direct/kkkk" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)


def leave_result(store: LocalStore, **changes: Any) -> Result:
    now = datetime.now(UTC)
    given: dict[str, Any] = {
        "step": TICKET.step, "order": TICKET.order,
        "result_key": TICKET.result_key, "code_version": TICKET.code_version,
        "outputs": (ArtifactRef(name="plan.json", uri=f"{TICKET.prefix}/plan.json", sha256="0" * 64, size=2),),
        "started_at": now, "finished_at": now, "wall_s": 1.0, "cpu_s": 1.0, "peak_memory_mb": 1.0,
    }  # fmt: skip
    result = Result(**given | changes)
    put(store, "plan.json", b"{}")
    put(store, "result.json", result.model_dump_json().encode())
    return result


def leave(store: LocalStore, error: Exception, attempt: str = TICKET.permit) -> int:
    event, code = failure_event(error)
    put(store, "failure.json", json.dumps(event | {"attempt": attempt}).encode())
    return code


def test_a_result_is_taken_when_the_step_said_it_was_done(store: LocalStore) -> None:
    result = leave_result(store)
    assert outcome(store, TICKET, Ended(0)) == result


def test_a_whole_result_counts_when_nobody_saw_the_step_end(store: LocalStore) -> None:
    leave_result(store)
    assert outcome(store, TICKET, Ended(None, lost="its pod is gone")).step == "direct"


def test_half_a_result_does_not(store: LocalStore) -> None:
    leave_result(store)
    (store.root / "orders/order-1/direct/kkkk/plan.json").unlink()
    with pytest.raises(StepFailed, match="its pod is gone"):
        outcome(store, TICKET, Ended(None, lost="its pod is gone"))


def test_a_refused_permit_is_refused_whatever_lies_there(store: LocalStore) -> None:
    """Reusing is using: an older result must not stand in for consent that is gone."""
    leave_result(store)
    with pytest.raises(PermitRefused):
        outcome(store, TICKET, Ended(EXIT_PERMIT))


@pytest.mark.parametrize(
    "changes",
    [
        {"order": "order-2"},
        {"step": "seal"},
        {"result_key": "x" * 64},
        {"code_version": "y" * 16},
        {
            "outputs": (
                ArtifactRef(name="plan.json", uri="vault://orders/order-2/x/plan.json", sha256="0" * 64, size=2),
            )
        },
    ],
)
def test_a_result_that_was_not_asked_for_is_never_taken(store: LocalStore, changes: Mapping[str, Any]) -> None:
    leave_result(store, **changes)
    with pytest.raises(IntegrityError):
        outcome(store, TICKET, Ended(0))


def test_an_unreadable_result_calls_for_a_person(store: LocalStore) -> None:
    put(store, "result.json", b"{")
    with pytest.raises(IntegrityError):
        outcome(store, TICKET, Ended(0))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (QualityRefused("too dark", where="x"), QualityRefused),
        (PermitRefused("expired", where="x"), PermitRefused),
        (StepFailed("no space", where="x"), StepFailed),
        (ValueError("grandma.jpg"), StepFailed),
    ],
)
def test_what_a_pod_wrote_down_is_raised_again(store: LocalStore, error: Exception, kind: type[MemorialError]) -> None:
    code = leave(store, error)
    with pytest.raises(kind) as raised:
        outcome(store, TICKET, Ended(code))
    assert "grandma" not in str(raised.value)
    assert raised.value.retryable is (kind is StepFailed)


def test_every_problem_of_a_refused_input_comes_back(store: LocalStore) -> None:
    from memorial_tasks.errors import Problem

    code = leave(store, InputRefused([Problem("a.b", "what", "remedy", file=f"photo/{n}") for n in range(60)]))
    with pytest.raises(InputRefused) as raised:
        outcome(store, TICKET, Ended(code))
    assert len(raised.value.problems) == 60


def test_the_failure_of_an_earlier_attempt_is_not_this_ones(store: LocalStore) -> None:
    leave(store, QualityRefused("too dark"), attempt="permit-1")
    with pytest.raises(StepFailed):
        outcome(store, TICKET, Ended(None, lost="its pod is gone"))


@pytest.mark.parametrize(
    ("code", "kind", "retry"),
    [
        (EXIT_REFUSED, MemorialError, False),
        (EXIT_PERMIT, PermitRefused, False),
        (EXIT_RETRY, StepFailed, True),
        (-9, StepFailed, True),
        (137, StepFailed, True),
        (None, StepFailed, True),
        (0, StepFailed, True),
    ],
)
def test_in_silence_the_exit_status_alone_decides(
    store: LocalStore, code: int | None, kind: type[MemorialError], retry: bool
) -> None:
    with pytest.raises(kind) as raised:
        outcome(store, TICKET, Ended(code))
    assert raised.value.retryable is retry
    assert raised.value.remedy


def test_a_store_that_is_out_of_reach_does_not_hide_the_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from memorial_tasks.domain.job import Job

    job = Job(
        step="direct", order="order-1", subject="s", output_prefix=TICKET.prefix, result_key="k", code_version="c",
        permit="p", attempt="permit-2",
    )  # fmt: skip
    (tmp_path / "vault").write_text("a file where the folder should be")
    leave_failure(LocalStore(tmp_path / "vault"), job, {"error": "StepFailed"})
    assert "could not be written down" in capsys.readouterr().out


def test_python_means_the_interpreter_that_runs_us() -> None:
    import sys

    assert local_command(["python", "-m", "memorial_tasks.steps"]) == [sys.executable, "-m", "memorial_tasks.steps"]
    assert local_command(["/opt/run", "a b"]) == ["/opt/run", "a b"]
