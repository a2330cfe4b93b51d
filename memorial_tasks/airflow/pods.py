"""The steps of an order as pods on Kubernetes: the provider's pod operator, told what a step is.

One try is one pod. `execute` prepares the step (permit, key, job), creates the pod from the template of its class, then
the pod's secret, and gives the worker back. The triggerer waits. `trigger_reentry` reads the result at its place in the
vault and records it. The acts are those of a local step (`production.steps`), only the middle one differs.

The secret is created after its pod and owned by it, so that no secret can outlive the pod it was made for, wherever a
worker dies; the pod waits for it. It is deleted when the step ends, in every path.
"""

import base64
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.utils.pod_manager import PodPhase
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR
from kubernetes.client import models as k8s
from kubernetes.client.exceptions import ApiException

from memorial_tasks.airflow.acts import OWNER, guarded
from memorial_tasks.airflow.pod_trigger import StepPodTrigger, protocol_line
from memorial_tasks.airflow.retries import DELAY, POLICY, TRIES
from memorial_tasks.errors import MemorialError, StepFailed
from memorial_tasks.production.remote import (
    GPU,
    SECRETS_FILE,
    SECRETS_FOLDER,
    STORAGE_FILE,
    pod_store,
    renewal_due,
    require_command,
    require_image,
    step_class,
    storage_credentials,
)
from memorial_tasks.settings import Settings
from memorial_tasks.steps.runner import Ended, Ticket

DOMAIN = "memorial.studio"
TICKET = f"{DOMAIN}/ticket"
QUEUE = "kueue.x-k8s.io/queue-name"
GRACE, GONE = 30, 90.0
LOST_REASONS = frozenset(
    {"Evicted", "Preempting", "NodeLost", "NodeShutdown", "NodeAffinity", "Terminated", "Shutdown"}
)
ENDED = (PodPhase.SUCCEEDED, PodPhase.FAILED)
REDEFERRALS = 3


def how_it_ended(pod: k8s.V1Pod | None) -> Ended:
    """What a pod's status says about the step that ran in it.

    An eviction counts as "nobody knows" whatever exit status was left: the kill came from outside.
    """
    if pod is None:
        return Ended(None, lost="its pod is gone")
    status = pod.status or k8s.V1PodStatus()
    disrupted = [one for one in status.conditions or () if one.type == "DisruptionTarget" and one.status == "True"]
    if status.reason in LOST_REASONS or disrupted:
        return Ended(None, lost=f"its pod was taken away ({status.reason or disrupted[0].reason})")
    if status.reason == "DeadlineExceeded":
        return Ended(None, lost="it took longer than its time limit")
    state = next((one.state for one in status.container_statuses or () if one.state and one.state.terminated), None)
    if state is None:
        return Ended(None, lost=f"its pod never started ({status.reason or status.phase or 'no status'})")
    if state.terminated.reason == "OOMKilled":
        event = {"error": "StepFailed", "what": "the step needed more memory than its pod may take"}
        return Ended(137, event | {"remedy": "raise the limit in the pod template"})
    return Ended(int(state.terminated.exit_code))


def is_over(pod: k8s.V1Pod) -> bool:
    """True when nothing runs in the pod any more."""
    return bool(pod.status and pod.status.phase in ENDED)


def ticket_of(pod: k8s.V1Pod) -> Ticket | None:
    """Which attempt a pod belongs to; None when it is none of ours."""
    text = (pod.metadata.annotations or {}).get(TICKET)
    return Ticket(**json.loads(text)) if text else None


def dressed(pod: k8s.V1Pod, settings: Settings, ticket: Ticket, subject: str) -> k8s.V1Pod:
    """The pod with what belongs to this one attempt: whose it is, its secret, its part of the vault."""
    _, vault = pod_store(settings, ticket.order)
    safe = {"order": ticket.order, "subject": subject, "step": ticket.step, "result": ticket.result_key[:32]}
    pod.metadata.labels.update({f"{DOMAIN}/{name}": value[:63].strip("-_.") for name, value in safe.items()})
    if settings.pod_queue:
        pod.metadata.labels[QUEUE] = settings.pod_queue
    pod.metadata.annotations = {**(pod.metadata.annotations or {}), TICKET: json.dumps(ticket.dump())}
    container = pod.spec.containers[0]
    pod.spec.volumes = [
        *(pod.spec.volumes or ()),
        k8s.V1Volume(
            name="secrets", secret=k8s.V1SecretVolumeSource(secret_name=pod.metadata.name, default_mode=0o400)
        ),
        *([vault["volume"]] if vault else ()),
    ]
    container.volume_mounts = [
        *(container.volume_mounts or ()),
        k8s.V1VolumeMount(name="secrets", mount_path=SECRETS_FOLDER, read_only=True),
        *([vault["mount"]] if vault else ()),
    ]
    return pod


def secret_of(pod: k8s.V1Pod, document: bytes, storage: Mapping[str, str] | None = None) -> k8s.V1Secret:
    """The one secret of a pod that exists, owned by it: the cluster removes it with the pod.

    With credentials for a bucket it can be changed, because those end before the step does and are renewed in it.
    """
    files = {SECRETS_FILE: document} | ({STORAGE_FILE: json.dumps(storage).encode()} if storage else {})
    owner = k8s.V1OwnerReference(
        api_version="v1", kind="Pod", name=pod.metadata.name, uid=pod.metadata.uid, block_owner_deletion=False
    )
    return k8s.V1Secret(
        metadata=k8s.V1ObjectMeta(
            name=pod.metadata.name,
            namespace=pod.metadata.namespace,
            labels={"app.kubernetes.io/name": "memorial-step"},
            owner_references=[owner],
        ),
        type="Opaque",
        immutable=storage is None,
        data={name: base64.b64encode(content).decode() for name, content in files.items()},
    )


class StepPod(KubernetesPodOperator):
    """Runs one step of the order of this run as a pod. Tried again when the pod is lost, never after a refusal."""

    def __init__(
        self,
        *,
        step: str,
        minutes: int,
        settings: Settings,
        then: Callable[[Any, str, Any], None] | None = None,
        **kwargs: Any,
    ) -> None:
        self.step, self.minutes, kind = step, minutes, step_class(settings, step)
        self.then = then
        self.ticket: Ticket | None = None
        # Of a pod taken up again nobody here knows when its credentials were given: they are renewed at once.
        self.renew_at: datetime | None = datetime.now(UTC) if settings.store_url.startswith("s3://") else None
        waiting = timedelta(minutes=settings.pod_schedule_minutes + settings.pod_startup_minutes)
        if kind == GPU:
            kwargs["pool"] = "gpu"  # made with its deferred tasks counted: a waiting task holds its GPU
        super().__init__(
            kubernetes_conn_id=settings.pod_connection,
            namespace=settings.pod_namespace,
            name=f"step-{step.replace('_', '-')}",
            random_name_suffix=True,
            image=settings.step_image or None,
            pod_template_file=str(settings.pod_templates / f"{kind}.yaml"),
            labels={"app.kubernetes.io/name": "memorial-step", f"{DOMAIN}/plane": "data"},
            deferrable=True,
            durable=True,
            do_xcom_push=False,
            get_logs=True,
            log_events_on_startup=False,
            log_events_on_failure=True,
            log_pod_spec_on_failure=False,
            on_finish_action="delete_succeeded_pod",
            on_kill_action="delete_pod",
            schedule_timeout_seconds=60 * settings.pod_schedule_minutes,
            startup_timeout_seconds=60 * settings.pod_startup_minutes,
            startup_check_interval_seconds=max(1, int(settings.pod_poll_seconds)),
            active_deadline_seconds=60 * minutes,
            termination_grace_period=GRACE,
            poll_interval=settings.pod_poll_seconds,
            logging_interval=60,
            automount_service_account_token=False,
            # The pod's own deadline ends it first; this only ends a wait that nobody ends.
            execution_timeout=timedelta(minutes=minutes + 10) + waiting,
            **kwargs,
        )

    def execute(self, context: Any) -> Any:
        """Start the pod, or take up the one an earlier try started; then wait without a worker."""
        self.name = self._set_name(self.name)
        done = guarded(partial(self._begin, context))
        return done if done is not None else self._wait(context)

    def trigger_reentry(self, context: Any, event: dict[str, Any]) -> Any:
        """The pod ended, or the wait for it did."""
        return guarded(partial(self._end, context, event))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """A wait that broke down resumes here as well: the pod must not work on with nobody waiting for it."""
        if next_method == TRIGGER_FAIL_REPR:
            return guarded(partial(self._broken, context))
        return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """The task was killed on its worker: the pod goes, and its secret."""
        super().on_kill()
        if self.pod is not None:
            self._delete_secret(self.pod)

    # --- the first act ------------------------------------------------------------------------------------

    def _begin(self, context: Any, studio: Any, order_id: str, actor: Any) -> dict[str, str] | None:
        """Prepare and create the pod; the step's row as XCom when there is nothing left to wait for."""
        from memorial_tasks.database.registry import StepRunRow
        from memorial_tasks.production.steps import prepare

        self.image = require_image(studio.settings)
        before = self._left_over(context)
        if before is not None:
            self.ticket = self._taken_up(studio, before, order_id)
            if self.ticket is not None and is_over(before):
                return self._collected(studio, actor, self.ticket, before, how_it_ended(before))
            if self.ticket is not None:
                self.log.info("pod %s of an earlier try is still at work", before.metadata.name)
                self.pod = before
                return None
            self._remove(before)
        prepared = prepare(studio, order_id, self.step, actor)
        if isinstance(prepared, StepRunRow):
            return self._accepted(studio, order_id, actor, prepared.result_key)
        self._create(context, studio, prepared)
        return None

    def _left_over(self, context: Any) -> k8s.V1Pod | None:
        """The pod an earlier try of this task left, unless its end was dealt with."""
        return self._get_pod_from_task_state_store(context) or self.find_pod(self.namespace, context=context)

    def _taken_up(self, studio: Any, pod: k8s.V1Pod, order_id: str) -> Ticket | None:
        """The ticket of a pod that may go on: it does what is asked now, for an order that may, and has its secret."""
        from memorial_tasks.production.steps import plan, require_runnable

        ticket = ticket_of(pod)
        if ticket is None or pod.metadata.deletion_timestamp is not None:
            return None
        try:
            with studio.transaction() as connection:
                order = studio.order(connection, order_id)
                require_runnable(order)
                asked = plan(studio, connection, order, self.step)
        except MemorialError:
            return None  # `prepare` finds the same and says so, after this pod is gone
        if (ticket.order, ticket.step, ticket.result_key) != (order_id, self.step, asked.key):
            return None
        return ticket if is_over(pod) or self._has_secret(pod) else None

    def _create(self, context: Any, studio: Any, prepared: Any) -> None:
        """Create the pod, then its secret; when the second fails, the first goes again."""
        from memorial_tasks.production.steps import arguments

        settings, self.ticket = studio.settings, prepared.ticket
        store_url, _ = pod_store(settings, prepared.ticket.order)
        storage = storage_credentials(settings, prepared.ticket.order, 60 * self.minutes)
        self.cmds = require_command(settings)
        self.arguments = [
            *arguments(prepared, store_url, settings.s3_endpoint, settings.pod_assets),
            "--secrets-file",
            f"{SECRETS_FOLDER}/{SECRETS_FILE}",
            *(["--storage-file", f"{SECRETS_FOLDER}/{STORAGE_FILE}"] if storage else []),
        ]
        self.renew_at = renewal_due(storage, datetime.now(UTC)) if storage else None
        with studio.transaction() as connection:
            subject = studio.order(connection, prepared.ticket.order).subject_id
        request = dressed(self.build_pod_request_obj(context), settings, prepared.ticket, subject)
        self.pod = self.pod_manager.create_pod(pod=request)
        try:
            self._persist_pod_identity_to_task_state_store(context, self.pod)
            secret = secret_of(self.pod, prepared.secrets.dump(), storage)
            self.client.create_namespaced_secret(self.namespace, secret)
        except BaseException:
            self._remove(self.pod)
            raise

    # --- waiting ------------------------------------------------------------------------------------------

    def _wait(self, context: Any, attempts: int = 0) -> None:
        """Hand the pod to the triggerer. Raises `TaskDeferred`."""
        settings, pod = Settings(), self.pod
        if pod is None or self.ticket is None:
            raise StepFailed("there is no pod to wait for", where=self.step, remedy="it is started again")
        started: datetime = context["ti"].start_date
        deadline = started + (self.execution_timeout or timedelta(days=1))
        waits: dict[str, Any] = {"_execution_deadline": int(deadline.timestamp()), "attempts": attempts}
        waits["ticket"] = self.ticket.dump()
        trigger = StepPodTrigger(
            pod_name=pod.metadata.name,
            pod_namespace=pod.metadata.namespace,
            trigger_start_time=datetime.now(UTC),
            base_container_name=self.base_container_name,
            kubernetes_conn_id=self.kubernetes_conn_id,
            poll_interval=self.poll_interval,
            get_logs=self.get_logs,
            startup_timeout=self.startup_timeout_seconds,
            startup_check_interval=self.startup_check_interval_seconds,
            schedule_timeout=self.schedule_timeout_seconds,
            on_finish_action=self.on_finish_action.value,
            on_kill_action=self.on_kill_action.value,
            termination_grace_period=self.termination_grace_period,
            logging_interval=self.logging_interval,
            log_events_on_startup=False,
            trigger_kwargs=waits,
            patience=60.0 * settings.pod_patience_minutes,
            renew_at=self.renew_at.timestamp() if self.renew_at else None,
            renew_seconds=60 * self.minutes,
        )
        # Later than the trigger's own deadline: that one ends with a word about the pod, this one without.
        left = deadline - datetime.now(UTC) + timedelta(minutes=2)
        self.defer(trigger=trigger, method_name="trigger_reentry", timeout=max(left, timedelta(minutes=2)))

    # --- the last act -------------------------------------------------------------------------------------

    def _end(self, context: Any, event: dict[str, Any], studio: Any, _order_id: str, actor: Any) -> dict[str, str]:
        """Make of the event and the pod's status what became of the step."""
        pod = self._read(event["name"], event["namespace"])
        self.pod, self.ticket = pod, Ticket(**event["ticket"])
        attempts = int(event.get("attempts", 0))
        if pod is not None and not is_over(pod) and event["status"] == "error" and attempts < REDEFERRALS:
            self.log.warning("the wait for pod %s broke off; waiting on", event["name"])
            self._wait(context, attempts + 1)
        if pod is None or is_over(pod):
            ended = how_it_ended(pod)
        else:
            ended = Ended(None, lost=f"its pod did not get ready or done in time ({event['status']})")
        return self._collected(studio, actor, self.ticket, pod, ended)

    def _broken(self, context: Any, studio: Any, _order_id: str, actor: Any) -> dict[str, str]:
        """Nobody waited any more; the step may have ended all the same."""
        pod = self._left_over(context)
        ticket = ticket_of(pod) if pod is not None else None
        if pod is None or ticket is None:
            raise StepFailed("nobody waited for the pod", where=self.step, remedy="see the triggerer's log")
        ended = how_it_ended(pod) if is_over(pod) else Ended(None, lost="nobody waited for its pod")
        return self._collected(studio, actor, ticket, pod, ended)

    def _collected(
        self, studio: Any, actor: Any, ticket: Ticket, pod: k8s.V1Pod | None, ended: Ended
    ) -> dict[str, str]:
        """Record the result or the failure, and clean up either way."""
        from memorial_tasks.production.steps import collect

        done = False
        try:
            self._tell(pod)
            row = collect(studio, ticket, ended, actor)
            done = True
        finally:
            if pod is not None:
                self._clean_up(pod, done)
        return self._accepted(studio, ticket.order, actor, row.result_key)

    def _accepted(self, studio: Any, order_id: str, actor: Any, result_key: str) -> dict[str, str]:
        """What the control plane decides about the result, on every way to one; the step's row as XCom."""
        if self.then is not None:
            self.then(studio, order_id, actor)
        return {"step": self.step, "result_key": result_key}

    def _clean_up(self, pod: k8s.V1Pod, done: bool) -> None:
        """A pod that did its work goes; one that failed stays for whoever looks why, without its secret."""
        if done or not is_over(pod):
            self._remove(pod)
        else:
            self._delete_secret(pod)
            self.patch_already_checked(pod, reraise=False)

    def _tell(self, pod: k8s.V1Pod | None) -> None:
        """The step's last words into the task's log. A log that was lost is no failure."""
        if pod is None:
            return
        try:
            answer = self.client.read_namespaced_pod_log(
                name=pod.metadata.name,
                namespace=pod.metadata.namespace,
                container=self.base_container_name,
                _preload_content=False,
            )
            text = answer.data.decode("utf-8", errors="replace")
        except Exception as error:
            self.log.warning("the log of pod %s cannot be read: %s", pod.metadata.name, type(error).__name__)
            return
        for words in [words for words in map(protocol_line, text.splitlines()) if words][-20:]:
            self.log.info("%s", words)

    # --- the cluster --------------------------------------------------------------------------------------

    def _read(self, name: str, namespace: str) -> k8s.V1Pod | None:
        try:
            return self.hook.get_pod(name, namespace)
        except ApiException as error:
            if error.status != 404:
                raise
            return None

    def _has_secret(self, pod: k8s.V1Pod) -> bool:
        try:
            self.client.read_namespaced_secret(pod.metadata.name, pod.metadata.namespace)
        except ApiException as error:
            if error.status != 404:
                raise
            return False
        return True

    def _delete_secret(self, pod: k8s.V1Pod) -> None:
        try:
            self.client.delete_namespaced_secret(pod.metadata.name, pod.metadata.namespace)
        except ApiException as error:
            if error.status != 404:
                raise

    def _remove(self, pod: k8s.V1Pod) -> None:
        """Delete secret and pod and wait until the pod is gone: two pods must never work on one result.

        Raises `StepFailed` when it does not go: its node is out of reach and may still be at work.
        """
        self._delete_secret(pod)
        self.pod_manager.delete_pod(pod)
        deadline = time.monotonic() + GONE
        while self._read(pod.metadata.name, pod.metadata.namespace) is not None:
            if time.monotonic() > deadline:
                raise StepFailed("the last pod does not end", where=self.step, remedy="see its node")
            time.sleep(0.5)


def build(
    step: str,
    *,
    display: str,
    minutes: int,
    settings: Settings,
    then: Callable[[Any, str, Any], None] | None = None,
) -> StepPod:
    """The task that runs `step` as a pod, and `then` once its result is there."""
    doc = f"Runs `{settings.step_command} {step}` as a pod ({step_class(settings, step)}). Resumes when evicted."
    return StepPod(
        step=step,
        minutes=minutes,
        settings=settings,
        then=then,
        task_id=step,
        task_display_name=display,
        owner=OWNER,
        retries=TRIES,
        retry_delay=DELAY,
        retry_policy=POLICY,
        doc_md=doc,
    )
