"""Waiting for a pod in the triggerer, without a worker: patient with the network, strict with what is logged.

The provider's trigger does the waiting. Three things differ: a cluster that is out of reach for a while is waited for
instead of costing a try, only lines of the step's own protocol reach Airflow's log (a library may print what it likes,
also a file's name), and a cancelled wait deletes the pod's secret with the pod.
"""

import asyncio
import base64
import json
import math
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import aiohttp
import pendulum
from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook
from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from airflow.providers.cncf.kubernetes.utils.pod_manager import AsyncPodManager
from airflow.triggers.base import TriggerEvent
from kubernetes_asyncio import client
from kubernetes_asyncio.client.exceptions import ApiException

from memorial_tasks.errors import ConsentRefused, MemorialError
from memorial_tasks.production.remote import STORAGE_FILE, renewal_due, renewed_storage
from memorial_tasks.settings import Settings

RENEW_AGAIN = 60.0  # seconds after a renewal that failed
UNREACHABLE = (aiohttp.ClientError, OSError, TimeoutError)
PASSING = frozenset({408, 409, 429, 500, 502, 503, 504})


def protocol_line(line: str) -> str | None:
    """A log line of the step as words for people; None for anything that is not the step's own protocol."""
    _stamp, _space, rest = line.partition(" ")
    for text in (line, rest):
        try:
            message = json.loads(text)
        except ValueError:
            continue
        if isinstance(message, dict) and "progress" in message:
            return f"{100 * float(message['progress']):3.0f} % {message.get('message', '')}"
        if isinstance(message, dict) and "error" in message:
            return f"{message['error']}: {message.get('what', '')} {message.get('where', '')}".rstrip()
    return None


class PatientHook(AsyncKubernetesHook):
    """Reads a pod, and keeps asking while the cluster's interface is out of reach."""

    def __init__(self, *args: Any, patience: float = 900.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.patience = patience

    async def get_pod(self, name: str, namespace: str) -> Any:
        """The pod; raises what the provider's hook raises once `patience` seconds have passed without an answer."""
        began, pause = time.monotonic(), 1.0
        while True:
            try:
                return await super().get_pod(name=name, namespace=namespace)
            except UNREACHABLE:
                if time.monotonic() - began > self.patience:
                    raise
            except ApiException as error:
                if error.status not in PASSING or time.monotonic() - began > self.patience:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, 30.0)

    async def delete_secret(self, name: str, namespace: str) -> None:
        """Delete the secret; nothing happens when there is none."""
        async with self.get_conn() as connection:
            try:
                await client.CoreV1Api(connection).delete_namespaced_secret(name=name, namespace=namespace)
            except ApiException as error:
                if error.status != 404:
                    raise

    async def patch_secret(self, name: str, namespace: str, files: dict[str, bytes]) -> None:
        """Put these files into the secret in place of those of the same name; the others stay as they are."""
        body = {"data": {key: base64.b64encode(content).decode() for key, content in files.items()}}
        async with self.get_conn() as connection:
            await client.CoreV1Api(connection).patch_namespaced_secret(name=name, namespace=namespace, body=body)


class ProtocolPodManager(AsyncPodManager):
    """Writes the step's progress into the task's log, and nothing else that was printed."""

    async def fetch_container_logs_before_current_sec(
        self, pod: Any, container_name: str, since_time: Any = None
    ) -> Any:
        """Log what the step said since `since_time`; a log that cannot be read is no reason to stop waiting."""
        now = pendulum.now()
        try:
            lines = await self._hook.read_logs(
                name=pod.metadata.name,
                namespace=pod.metadata.namespace,
                container_name=container_name,
                since_seconds=math.ceil((now - since_time).total_seconds()) if since_time else None,
            )
        except (*UNREACHABLE, ApiException):
            return since_time
        said = [words for words in map(protocol_line, lines) if words]
        if said:
            self.log.info("%s", said[-1])  # progress: the last word is enough
        return now


class StepPodTrigger(KubernetesPodTrigger):
    """Waits for one step's pod. `patience` in seconds; the secret bears the pod's name.

    `renew_at` (seconds since 1970; None for a vault that is no bucket) is when the pod's credentials have to be renewed
    first; a triggerer that takes the wait over later does it at once.
    """

    def __init__(self, *, patience: float, renew_at: float | None, renew_seconds: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patience, self.renew_at, self.renew_seconds = patience, renew_at, renew_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """As the scheduler stores it: names and times only."""
        _, kwargs = super().serialize()
        own = {"patience": self.patience, "renew_at": self.renew_at, "renew_seconds": self.renew_seconds}
        return f"{type(self).__module__}.{type(self).__qualname__}", kwargs | own

    @cached_property
    def hook(self) -> PatientHook:
        """The cluster, as the triggerer's own connection describes it."""
        return PatientHook(conn_id=self.kubernetes_conn_id, patience=self.patience)

    @cached_property
    def pod_manager(self) -> ProtocolPodManager:
        """Start-up and log reading."""
        return ProtocolPodManager(async_hook=self.hook)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait. The secret goes as soon as the pod is seen to be over, whatever becomes of the task after that."""
        renewing = asyncio.create_task(self._keep_renewing()) if self.renew_at is not None else None
        try:
            async for event in super().run():
                if event.payload["status"] in {"success", "failed"}:
                    await self._delete_secret()
                yield event
        finally:
            if renewing is not None:
                renewing.cancel()

    async def _keep_renewing(self) -> None:
        """Fresh credentials for the pod at half the time of the old ones, as long as it is waited for. What goes wrong
        is tried again every minute; an order that was stopped gets no more."""
        order = str((self.trigger_kwargs or {})["ticket"]["order"])
        due = self.renew_at or 0.0
        while True:
            await asyncio.sleep(max(0.0, due - time.time()))
            try:
                storage = await asyncio.to_thread(renewed_storage, Settings(), order, self.renew_seconds)
                if storage is None:
                    return
                files = {STORAGE_FILE: json.dumps(storage).encode()}
                await self.hook.patch_secret(self.pod_name, self.pod_namespace, files)
                self.log.info("the credentials of pod %s were renewed", self.pod_name)
                due = renewal_due(storage, datetime.now(UTC)).timestamp()
            except ConsentRefused as error:
                self.log.warning("pod %s gets no more credentials: %s", self.pod_name, error.what)
                return
            except (MemorialError, ApiException, *UNREACHABLE) as error:
                self.log.warning("the credentials of pod %s were not renewed: %s", self.pod_name, type(error).__name__)
                due = time.time() + RENEW_AGAIN

    async def on_kill(self) -> None:
        """The run was stopped while we waited (consent withdrawn, order cancelled): the pod goes, and its secret."""
        await super().on_kill()
        if not self._fired_event:
            await self._delete_secret()

    async def _delete_secret(self) -> None:
        try:
            await self.hook.delete_secret(self.pod_name, self.pod_namespace)
        except Exception:
            # It is owned by the pod: the cluster removes it with the pod, and the watch sweeps up what is left.
            self.log.exception("the secret of pod %s could not be deleted", self.pod_name)
