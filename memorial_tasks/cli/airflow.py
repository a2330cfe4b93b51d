"""How the commands reach the studio's Airflow."""

from typing import Any

from memorial_tasks.errors import MemorialError, Unavailable
from memorial_tasks.settings import Settings


def client(settings: Settings) -> Any:
    """A session of the operator's account."""
    from memorial_tasks.airflow.client import AirflowClient
    from memorial_tasks.airflow.environment import operator_password

    address = f"http://127.0.0.1:{settings.api_port}"
    return AirflowClient(address, settings.operator, operator_password(settings))


def finished(airflow: Any, dag: str, run_id: str | None) -> bool | None:
    """Whether the run is over; None when there is no such run."""
    if not run_id:
        return None
    try:
        return bool(airflow.run(dag, run_id)["state"] in {"success", "failed"})
    except Unavailable:
        raise
    except MemorialError as error:
        if "404" in error.what:
            return None
        raise


def stop_run(settings: Settings, dag: str, run_id: str, note: str) -> bool:
    """Stop a run; False when there is none, or nobody to ask. The registry has stopped the order already."""
    try:
        with client(settings) as airflow:
            airflow.stop_run(dag, run_id, note)
    except MemorialError:
        return False
    return True
