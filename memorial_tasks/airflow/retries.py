"""What is tried again and what never is, by the class of the error. One list, for Airflow and for our own tasks.

A retry mends what passes: a network that was away, a database that restarted, a pod or a process that was killed. It
never mends a refusal; trying a refusal again would only ask the same question until somebody answers otherwise.
"""

from datetime import timedelta

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from memorial_tasks.errors import (
    ConsentRefused,
    InputRefused,
    IntegrityError,
    MemorialError,
    ModelRefused,
    QualityRefused,
    StepFailed,
    Unavailable,
)

TRIES = 3
DELAY = timedelta(seconds=5)

# The first rule that fits decides. Pods that are lost come as `StepFailed` or as an error of the cluster's interface,
# which falls under no rule and is tried again like anything unforeseen, as often as the task's `retries` say.
POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule([ConsentRefused, QualityRefused, InputRefused, ModelRefused], RetryAction.FAIL, reason="a refusal"),
        RetryRule(IntegrityError, RetryAction.FAIL, reason="stored bytes were changed; a person has to look"),
        RetryRule(StepFailed, RetryAction.RETRY, DELAY, "the step was lost; it resumes from its checkpoint"),
        RetryRule(
            [Unavailable, ConnectionError, TimeoutError],
            RetryAction.RETRY,
            timedelta(seconds=30),
            "something did not answer",
        ),
        RetryRule(MemorialError, RetryAction.FAIL, reason="it would end the same way again"),
    ]
)


def retryable(error: BaseException) -> bool:
    """Whether another try may end better. Unforeseen errors are given one: a full disk is emptied, a node replaced."""
    return POLICY.evaluate(error, 1, TRIES).action is not RetryAction.FAIL
