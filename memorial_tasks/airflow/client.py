"""Airflow's REST interface, as much of it as a studio needs. The same calls a person's clicks make."""

import time
from types import TracebackType
from typing import Any

import httpx

from memorial_tasks.airflow.environment import operator_password
from memorial_tasks.errors import MemorialError, Unavailable
from memorial_tasks.settings import Settings

REMEDY = "start the studio with 'memorial studio start' and look at 'memorial doctor'"


def open_client(settings: Settings, account: str = "", password: str = "") -> "AirflowClient":
    """A session with this studio's Airflow: of the operator, or of the account whose password is given."""
    account, password = (account, password) if account else (settings.operator, operator_password(settings))
    return AirflowClient(f"http://127.0.0.1:{settings.api_port}", account, password)


class AirflowClient:
    """A session of one account. `Unavailable` when nobody answers; `MemorialError` when the answer is no."""

    def __init__(self, address: str, username: str, password: str) -> None:
        self.address = address.rstrip("/")
        self._login = {"username": username, "password": password}
        self._http = httpx.Client(base_url=self.address, timeout=30, trust_env=False)
        self._token = ""

    def __enter__(self) -> "AirflowClient":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._http.close()

    def _call(self, method: str, path: str, **options: Any) -> Any:
        try:
            if not self._token:
                answer = self._http.post("/auth/token", json=self._login)
                if answer.status_code >= 400:
                    raise MemorialError("Airflow refused the login", where=self.address, remedy=REMEDY)
                self._token = answer.json()["access_token"]
            answer = self._http.request(
                method, f"/api/v2{path}", headers={"Authorization": f"Bearer {self._token}"}, **options
            )
        except httpx.HTTPError as error:
            raise Unavailable("Airflow does not answer", where=self.address, remedy=REMEDY) from error
        if answer.status_code >= 500:
            raise Unavailable(f"Airflow answered {answer.status_code}", where=path, remedy="see the api-server's log")
        if answer.status_code >= 400:
            detail = answer.json().get("detail") if "json" in answer.headers.get("content-type", "") else ""
            raise MemorialError(
                f"Airflow answered {answer.status_code}", where=path, remedy=str(detail)[:200] or "see its log"
            )
        return answer.json() if answer.content else {}

    def _found(self, path: str) -> dict[str, Any] | None:
        """What lies there; None when there is no such thing."""
        try:
            found: dict[str, Any] = self._call("GET", path)
        except Unavailable:
            raise
        except MemorialError as error:
            if "404" in error.what:
                return None
            raise
        return found

    def ready(self, dag: str, timeout: float, poll: float = 1.0) -> bool:
        """Wait until scheduler, triggerer and DAG processor are alive and the DAG is known."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                health = self._call("GET", "/monitor/health")
                parts = ("scheduler", "triggerer", "dag_processor")
                if all(health[part]["status"] == "healthy" for part in parts) and self.dag(dag):
                    return True
            except MemorialError:
                pass
            time.sleep(poll)
        return False

    def dag(self, dag: str) -> dict[str, Any]:
        """The DAG's description."""
        found: dict[str, Any] = self._call("GET", f"/dags/{dag}")
        return found

    def trigger(self, dag: str, run_id: str, conf: dict[str, Any], note: str = "") -> dict[str, Any]:
        """Start a run under an id of our own, so that a second call cannot start a second run."""
        body = {"dag_run_id": run_id, "conf": conf, "logical_date": None, "note": note or None}
        run: dict[str, Any] = self._call("POST", f"/dags/{dag}/dagRuns", json=body)
        return run

    def run(self, dag: str, run_id: str) -> dict[str, Any]:
        """The run's state."""
        run: dict[str, Any] = self._call("GET", f"/dags/{dag}/dagRuns/{run_id}")
        return run

    def over(self, dag: str, run_id: str) -> bool | None:
        """Whether the run is over; None when there is no such run."""
        found = self._found(f"/dags/{dag}/dagRuns/{run_id}")
        return None if found is None else bool(found["state"] in {"success", "failed"})

    def start(self, dag: str, order: str, run_id: str) -> None:
        """Start an order's run; one that exists already is left as it is."""
        try:
            self.trigger(dag, run_id, {"order": order})
        except Unavailable:
            raise
        except MemorialError as error:
            if "409" not in error.what:
                raise

    def slots(self, pool: str) -> int | None:
        """How many slots a pool has; None when there is no such pool."""
        found = self._found(f"/pools/{pool}")
        return None if found is None else int(found["slots"])

    def stop_run(self, dag: str, run_id: str, note: str) -> None:
        """Mark a run failed, which ends its running tasks."""
        body = {"state": "failed", "note": note}
        self._call("PATCH", f"/dags/{dag}/dagRuns/{run_id}", json=body)

    def tasks(self, dag: str, run_id: str) -> list[dict[str, Any]]:
        """All task instances of the run."""
        found: list[dict[str, Any]] = self._call("GET", f"/dags/{dag}/dagRuns/{run_id}/taskInstances?limit=200")[
            "task_instances"
        ]
        return found

    def log(self, dag: str, run_id: str, task: str, attempt: int) -> str:
        """The last log lines of one try."""
        path = f"/dags/{dag}/dagRuns/{run_id}/taskInstances/{task}/logs/{attempt}"
        content = self._call("GET", path, params={"full_content": "true"}).get("content", [])
        return "\n".join(str(item.get("event", item)) if isinstance(item, dict) else str(item) for item in content)

    def answer(self, dag: str, run_id: str, task: str, option: str, params: dict[str, Any]) -> dict[str, Any]:
        """Answer a human-in-the-loop task."""
        path = f"/dags/{dag}/dagRuns/{run_id}/taskInstances/{task}/-1/hitlDetails"
        body = {"chosen_options": [option], "params_input": params}
        answer: dict[str, Any] = self._call("PATCH", path, json=body)
        return answer

    def question(self, dag: str, run_id: str, task: str) -> dict[str, Any]:
        """What a human-in-the-loop task asks, and whether it was answered."""
        found: dict[str, Any] = self._call("GET", f"/dags/{dag}/dagRuns/{run_id}/taskInstances/{task}/-1/hitlDetails")
        return found

    def earlier(self, dag: str, run_id: str, task: str, attempt: int) -> dict[str, Any] | None:
        """What an earlier try of a human-in-the-loop task asked and was answered; None when it asked nothing."""
        return self._found(f"/dags/{dag}/dagRuns/{run_id}/taskInstances/{task}/-1/hitlDetails/tries/{attempt}")

    def parked(self, dag: str, *, answered: bool) -> list[tuple[str, str]]:
        """Run and task of up to 100 questions that wait, oldest first. An answer that Airflow accepts ends the waiting
        in the same transaction; so what is found here with `answered`, nothing else will ever wake."""
        path = f"/dags/{dag}/dagRuns/~/hitlDetails"
        asked = {"response_received": answered, "state": "awaiting_input", "limit": 100, "order_by": "created_at"}
        found = self._call("GET", path, params=asked)["hitl_details"]
        return [(one["task_instance"]["dag_run_id"], one["task_instance"]["task_id"]) for one in found]

    def try_again(self, dag: str, run_id: str, task: str, note: str) -> None:
        """Clear one task, so that it starts anew; what was answered stays with the try that ends by it."""
        body = {
            "dry_run": False, "only_failed": False, "dag_run_id": run_id, "task_ids": [task], "note": note,
            "reset_dag_runs": False,
        }  # fmt: skip
        self._call("POST", f"/dags/{dag}/clearTaskInstances", json=body)
