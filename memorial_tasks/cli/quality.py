"""`memorial quality`: what the gates found, and what the family could bring to improve the result."""

from typing import Annotated

import typer
from rich.table import Table

from memorial_tasks.cli.common import Json, OrderArgument, answers, emit, out

app = typer.Typer(no_args_is_help=True, help="What was measured, what it means, what would improve it.")


@app.command()
@answers
def report(
    order: OrderArgument,
    film: Annotated[
        bool, typer.Option("--film", help="The gate of the finished film instead of the material.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Findings of a gate, with the page that holds every number."""
    from memorial_tasks.domain.finding import GateReport
    from memorial_tasks.production.gates import export_report
    from memorial_tasks.production.studio import Studio

    folder = export_report(Studio.open(), order, "output_gate" if film else "quality_gate")
    found = GateReport.model_validate_json((folder / "report.json").read_bytes())
    page = next(iter(sorted(folder.rglob("index.html"))), None)
    if as_json:
        emit(found.model_dump(mode="json") | {"order": order, "page": str(page) if page else None})
    else:
        out.print(f"{order}: the {'film' if film else 'material'} {'passed' if found.passed else 'did not pass'}")
        table = Table("", "material", "what", "what would help", box=None, header_style="bold")
        for finding in found.findings:
            table.add_row(str(finding.severity), finding.material, finding.what, finding.remedy)
        out.print(table)
        out.print(f"every number: {page or folder}")
    raise typer.Exit(0 if found.passed else 1)
