"""What every DAG promises to the operator who reads it, and what no DAG may do."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memorial_tasks.airflow.tags import Tag
from memorial_tasks.errors import ConsentRefused, Unavailable
from memorial_tasks.production.acts import film_gate, material_gate
from memorial_tasks.steps.contract import STEPS

pytestmark = pytest.mark.dags

HEAVY = ("torch", "cv2", "librosa", "pandas", "great_expectations", "av", "soundfile", "pyworld")
HEADINGS = (
    "What it does",
    "When to run",
    "Inputs and form fields",
    "What a human must decide",
    "Outputs and where they land",
    "If it fails",
    "Is it safe to re-run",
    "Data handling and consent",
)
PARSE = """
import importlib.util, json, resource, sys, time
import airflow.sdk, airflow.providers.standard.operators.hitl  # the DAG processor has these in memory already
start = time.process_time()
spec = importlib.util.spec_from_file_location("dag_file", sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(json.dumps({"seconds": time.process_time() - start, "modules": sorted({m.split(".")[0] for m in sys.modules})}))
"""


def test_each_file_brings_the_dag_of_its_name(dags: dict[str, Any], dag_files: list[Path]) -> None:
    assert sorted(dags) == sorted(path.stem for path in dag_files)


def test_parsing_is_quick_and_light(dag_files: list[Path]) -> None:
    for path in dag_files:
        done = subprocess.run(
            [sys.executable, "-c", PARSE, str(path)], capture_output=True, text=True, check=True, timeout=120
        )
        answer = json.loads(done.stdout.splitlines()[-1])
        assert answer["seconds"] < 2.0, f"{path.name}: {answer['seconds']:.2f} s of processor time"
        assert not set(HEAVY) & set(answer["modules"]), f"{path.name} imports {set(HEAVY) & set(answer['modules'])}"


def test_the_documentation_is_a_runbook(dags: dict[str, Any]) -> None:
    for name, dag in dags.items():
        for heading in HEADINGS:
            assert f"**{heading}" in (dag.doc_md or ""), f"{name} does not say: {heading}"
        assert dag.description, name
        assert dag.catchup is False, name


def test_tags_come_from_the_closed_list(dags: dict[str, Any]) -> None:
    known = {str(tag) for tag in Tag}
    for name, dag in dags.items():
        assert {str(tag) for tag in dag.tags} <= known, name
        assert any(str(tag).startswith("impact/") for tag in dag.tags), name


def test_every_task_has_an_owner_retries_and_a_time_limit(dags: dict[str, Any]) -> None:
    for name, dag in dags.items():
        for task in dag.tasks:
            assert task.owner in dag.owner_links, f"{name}.{task.task_id}"
            assert task.retries >= 1, f"{name}.{task.task_id}"
            limit = getattr(task, "response_timeout", None) or task.execution_timeout
            assert limit is not None, f"{name}.{task.task_id}"


def test_every_task_tries_again_by_the_class_of_the_error(dags: dict[str, Any]) -> None:
    """Refusals end a task at once, whatever its number of retries; what passes is tried again."""
    for name, dag in dags.items():
        for task in dag.tasks:
            assert task.retry_policy is not None, f"{name}.{task.task_id}"
            told = {
                kind: task.retry_policy.evaluate(kind("x"), 1, 3).action.value for kind in (ConsentRefused, Unavailable)
            }
            assert told == {ConsentRefused: "fail", Unavailable: "retry"}, f"{name}.{task.task_id}"


def test_trigger_forms_take_ids_only(dags: dict[str, Any]) -> None:
    for name, dag in dags.items():
        for key in dag.params:
            param = dag.params.get_param(key)
            schema = param.schema
            assert schema.get("title"), f"{name}.{key}"
            assert param.description, f"{name}.{key}"
            if "string" in schema.get("type", ""):
                assert "pattern" in schema or "enum" in schema or schema.get("format"), f"{name}.{key} takes free text"


def test_human_answers_default_to_reject(dags: dict[str, Any]) -> None:
    from airflow.providers.standard.operators.hitl import HITLOperator

    asked = [(name, task) for name, dag in dags.items() for task in dag.tasks if isinstance(task, HITLOperator)]
    assert asked, "no DAG asks a human"
    for name, task in asked:
        assert task.defaults == ["Reject"], f"{name}.{task.task_id}"
        assert task.response_timeout is not None, f"{name}.{task.task_id}"


def test_no_gate_sits_inside_a_mapped_group(dags: dict[str, Any]) -> None:
    """On Airflow 3.3.2 a rejection inside a mapped group lets what follows run."""
    from airflow.sdk.bases.skipmixin import SkipMixin

    for name, dag in dags.items():
        for task in dag.tasks:
            if isinstance(task, SkipMixin):
                groups = [group.group_id for group in task.iter_mapped_task_groups()]
                assert groups == [], f"{name}.{task.task_id} is inside {groups}"


class TestMemorialOrder:
    """The one DAG that makes films."""

    def test_runs_every_step_of_the_data_plane(self, dags: dict[str, Any]) -> None:
        assert set(STEPS) <= {task.task_id for task in dags["memorial_order"].tasks}

    @pytest.mark.parametrize(
        "before",
        [
            "check_consent",
            "quality_gate",
            "review_script",
            "review_voice",
            "review_still",
            "seal",
            "output_gate",
            "review_film",
            "review_film_second",
        ],
    )
    def test_nothing_is_delivered_before(self, dags: dict[str, Any], before: str) -> None:
        deliver = dags["memorial_order"].get_task("deliver")
        assert before in {task.task_id for task in deliver.get_flat_relatives(upstream=True)}

    def test_a_person_is_asked_where_the_studio_says_and_nowhere_else(
        self, dag_files: list[Path], parse: Callable[[list[Path], str], dict[str, Any]]
    ) -> None:
        order = [path for path in dag_files if path.stem == "memorial_order"]
        tasks = {task.task_id for task in parse(order, "voice, film")["memorial_order"].tasks}
        asked = {"review_voice", "review_film", "review_film_second"}
        assert {task for task in tasks if task.startswith("review_")} == asked

    @pytest.mark.parametrize("step", ["quality_gate", "output_gate"])
    def test_a_gate_decides_in_the_task_that_measures(self, dags: dict[str, Any], step: str) -> None:
        """Whatever stands below it follows it: no task of a run comes between a measurement and its verdict."""
        source = dags["memorial_order"].get_task(step).python_callable
        acts = [cell.cell_contents for cell in source.__closure__ if callable(cell.cell_contents)]
        assert {"quality_gate": material_gate, "output_gate": film_gate}[step] in acts

    @pytest.mark.parametrize("step", [step for step in STEPS if step != "ingest"])
    def test_no_step_runs_before_consent(self, dags: dict[str, Any], step: str) -> None:
        task = dags["memorial_order"].get_task(step)
        assert "check_consent" in {relative.task_id for relative in task.get_flat_relatives(upstream=True)}

    def test_every_step_comes_after_what_it_reads(self, dags: dict[str, Any]) -> None:
        from memorial_tasks.production.graph import INPUTS, sources

        for step in INPUTS:
            earlier = {task.task_id for task in dags["memorial_order"].get_task(step).get_flat_relatives(upstream=True)}
            assert set(sources(step)) <= earlier, step

    def test_delivery_never_follows_a_skip(self, dags: dict[str, Any]) -> None:
        """A trigger rule other than all_success would let a rejected film through."""
        for task in dags["memorial_order"].tasks:
            assert task.trigger_rule == "all_success", task.task_id
