"""Airflow's own LocalExecutor, whose workers find everything a task needs imported already.

Every task is a process of its own, forked from a worker that was forked from the scheduler. What the scheduler has not
imported by then, every single task imports anew: Airflow's operators, its plugins, the rooms of this package. That was
more than a second of processor time a task, three quarters of all a task cost.
"""

import importlib
from collections.abc import Sequence

from airflow.executors.local_executor import LocalExecutor

# What the processes of tasks were seen importing; tests/unit/airflow/test_executor.py looks again. None of it opens a
# connection, starts a thread or reads a secret when it is imported: all that has to happen after the fork.
MODULES: Sequence[str] = (
    "airflow.dag_processing.dagbag",
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.decorators.sensor",
    "airflow.providers.standard.operators.hitl",
    "airflow.sdk.execution_time.hitl",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "memorial_tasks.airflow.client",
    "memorial_tasks.airflow.night",
    "memorial_tasks.airflow.reviews",
    "memorial_tasks.airflow.steps",
    "memorial_tasks.airflow.tags",
    "memorial_tasks.production.acts",
    "memorial_tasks.production.batch",
    "memorial_tasks.production.deliveries",
    "memorial_tasks.production.gates",
    "memorial_tasks.production.night",
    "memorial_tasks.production.notices",
    "memorial_tasks.production.orders",
    "memorial_tasks.production.review",
    "memorial_tasks.production.steps",
    "memorial_tasks.production.studio",
)


PODS: Sequence[str] = ("memorial_tasks.airflow.pods", "memorial_tasks.airflow.pod_sweep")


def preload(modules: Sequence[str] = MODULES) -> None:
    """Import the modules, load Airflow's plugins for the task side, read the settings, take the digests of the steps'
    code: once for all tasks to come. They work with the code of this moment in any case, until the studio restarts."""
    from airflow.sdk.listener import get_listener_manager

    from memorial_tasks.production.graph import INPUTS
    from memorial_tasks.settings import Settings
    from memorial_tasks.steps.code import code_version

    pods = PODS if Settings.current().step_runner == "kubernetes" else ()
    for name in (*modules, *pods):
        importlib.import_module(name)
    for step in INPUTS:
        code_version(step)
    get_listener_manager()


class StudioExecutor(LocalExecutor):
    """`LocalExecutor`, with `preload` before it forks its workers."""

    def start(self) -> None:
        """Import, then fork."""
        preload()
        super().start()
