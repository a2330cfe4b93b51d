"""What is tried again: what passes. What never is: a refusal."""

import pytest

from memorial_tasks.airflow.retries import POLICY, retryable
from memorial_tasks.errors import (
    ConsentRefused,
    InputRefused,
    IntegrityError,
    MemorialError,
    ModelRefused,
    PermitRefused,
    Problem,
    QualityRefused,
    StepFailed,
    Unavailable,
)

REFUSALS = [
    ConsentRefused("no"),
    PermitRefused("dead"),
    QualityRefused("no face"),
    InputRefused([Problem("order.x", "wrong", "mend it")]),
    ModelRefused("no licence"),
    IntegrityError("changed"),
    MemorialError("no film yet"),
]
PASSING = [StepFailed("killed"), Unavailable("away"), ConnectionResetError("reset"), TimeoutError("late")]


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
def test_a_refusal_is_never_tried_again(error: Exception) -> None:
    assert not retryable(error)


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__)
def test_what_passes_is_tried_again(error: Exception) -> None:
    assert retryable(error)


def test_our_errors_and_the_policy_agree() -> None:
    for error in (*REFUSALS, *PASSING):
        if isinstance(error, MemorialError):
            assert retryable(error) is error.retryable, type(error).__name__


def test_something_that_does_not_answer_is_given_more_time_than_a_step_that_was_killed() -> None:
    away, killed = POLICY.evaluate(Unavailable("away"), 1, 3), POLICY.evaluate(StepFailed("killed"), 1, 3)
    assert away.retry_delay is not None
    assert killed.retry_delay is not None
    assert away.retry_delay > killed.retry_delay


def test_the_unforeseen_gets_its_tries() -> None:
    assert retryable(OSError("no space left"))


def test_the_policy_survives_the_way_through_airflows_database() -> None:
    again = type(POLICY).deserialize(POLICY.serialize())
    assert [again.evaluate(error, 1, 3).action for error in REFUSALS] == [
        POLICY.evaluate(error, 1, 3).action for error in REFUSALS
    ]
