"""Waiting for a pod in the triggerer, without a worker: patient with the network, strict with what is logged.

The provider's trigger does the waiting. Three things differ: a cluster that is out of reach for a while is waited for
instead of costing a try, only lines of the step's own protocol reach Airflow's log (a library may print what it likes,
also a file's name), and a cancelled wait deletes the pod's secret with the pod.
"""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator
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
    """Waits for one step's pod. `patience` in seconds; the secret bears the pod's name."""

    def __init__(self, *, patience: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patience = patience

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """As the scheduler stores it: names and times only."""
        _, kwargs = super().serialize()
        return f"{type(self).__module__}.{type(self).__qualname__}", kwargs | {"patience": self.patience}

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
        async for event in super().run():
            if event.payload["status"] in {"success", "failed"}:
                await self._delete_secret()
            yield event

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
