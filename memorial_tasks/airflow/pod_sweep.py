"""What is left on the cluster when a task ended where no code of ours could run: its worker died with the run, the run
was stopped between a pod's end and the reading of its result, or the triggerer was down when it was stopped."""

from datetime import UTC, datetime, timedelta
from typing import Any

from memorial_tasks.errors import MemorialError

KEPT = timedelta(days=1)  # a failed pod, for whoever looks why
SELECTOR = "app.kubernetes.io/name=memorial-step"


def sweep(studio: Any, cluster: Any | None = None) -> dict[str, int]:
    """Delete pods at work for orders that may not go on, pods that ended a day ago, and secrets nobody needs any more.

    `cluster` is the core interface of the cluster; by default that of the studio's connection. Does nothing in a studio
    that runs its steps on its own machine. Raises what the client raises: the next round tries again.
    """
    if studio.settings.step_runner != "kubernetes":
        return {}
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook

    from memorial_tasks.airflow.pods import is_over

    if cluster is None:
        cluster = KubernetesHook(conn_id=studio.settings.pod_connection).core_v1_client
    pods = secrets = 0
    for pod in cluster.list_namespaced_pod(studio.settings.pod_namespace, label_selector=SELECTOR).items:
        stopped, over = _stopped(studio, pod), is_over(pod)
        if over or stopped:
            secrets += _delete(cluster.delete_namespaced_secret, pod)
        if (stopped and not over) or (over and _ended(pod) < datetime.now(UTC) - KEPT):
            pods += _delete(cluster.delete_namespaced_pod, pod)
    return {"pods": pods, "secrets": secrets}


def _stopped(studio: Any, pod: Any) -> bool:
    """True when the pod's order may not go on."""
    from memorial_tasks.airflow.pods import ticket_of
    from memorial_tasks.production.steps import RUNNABLE

    ticket = ticket_of(pod)
    if ticket is None:
        return False
    try:
        with studio.transaction() as connection:
            return studio.order(connection, ticket.order).state not in RUNNABLE
    except MemorialError as error:
        return not error.retryable  # an order nobody knows


def _ended(pod: Any) -> datetime:
    states = [one.state.terminated for one in pod.status.container_statuses or () if one.state]
    ends = [state.finished_at for state in states if state and state.finished_at]
    found: datetime = max(ends, default=pod.metadata.creation_timestamp)
    return found


def _delete(call: Any, pod: Any) -> int:
    """One object gone; 0 when it was gone before."""
    from kubernetes.client.exceptions import ApiException

    try:
        call(pod.metadata.name, pod.metadata.namespace)
    except ApiException as error:
        if error.status != 404:
            raise
        return 0
    return 1
