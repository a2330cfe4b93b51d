"""DAGs.md out of the DAGs' own words, so that the handbook and the pages never disagree."""

import sys
from pathlib import Path

from memorial_tasks.settings import REPOSITORY

HEAD = """<!-- Written by `make docs` from the DAG files. Edit those. -->
# The DAGs of the studio

| DAG | schedule | in one sentence |
|---|---|---|
"""


def handbook(folder: Path) -> str:
    """The text of DAGs.md for the DAG files in `folder`, sorted by name."""
    from airflow.dag_processing.dagbag import DagBag

    table, pages = [], []
    for path in sorted(folder.glob("*.py")):
        bag = DagBag(dag_folder=str(path), collect_dags=True)
        if bag.import_errors:
            raise SystemExit(f"{path.name} does not parse: {bag.import_errors}")
        for dag in bag.dags.values():
            schedule = getattr(dag.timetable, "expression", None) or "by hand or by the batch"
            table.append(f"| `{dag.dag_id}` | {schedule} | {dag.description} |")
            body = (dag.doc_md or "").strip().replace("# ", "## ", 1)
            tags = ", ".join(f"`{tag}`" for tag in sorted(str(tag) for tag in dag.tags))
            pages.append(f"{body}\n\nTags: {tags}. Tasks: {', '.join(f'`{task.task_id}`' for task in dag.tasks)}.")
    return HEAD + "\n".join(table) + "\n\n" + "\n\n".join(pages) + "\n"


def main() -> None:
    """``python -m memorial_tasks.airflow.handbook FILE``: Airflow logs to standard output, so a file is named."""
    Path(sys.argv[1]).write_text(handbook(REPOSITORY / "dags"), encoding="utf-8")


if __name__ == "__main__":
    main()
