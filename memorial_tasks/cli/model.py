"""`memorial model`: base models an operator brings or trains, with their licences; and how good an order's face is."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from memorial_tasks.cli.common import Json, OrderArgument, answers, emit, out, say

app = typer.Typer(no_args_is_help=True, help="Base models: train, import, list, show, export. Of an order: evaluate.")
# From above in the picture too; the registry keeps no order of them, and reading them from the examination needs torch.
ROWS = ("truth", "still", "warp", "ours", "wrong_person")
ModelArgument = Annotated[str, typer.Argument(help="The model's id.", metavar="MODEL", show_default=False)]


@app.command("list")
@answers
def list_models(as_json: Json = False) -> None:
    """Every imported model."""
    from memorial_tasks.production.models import list_models as find
    from memorial_tasks.production.studio import Studio

    found = find(Studio.open())
    if as_json:
        return emit({"models": [vars(row) for row in found]})
    table = Table("model", "kind", "parameters", "licence", "corpus", "its licence", box=None, header_style="bold")
    for row in found:
        table.add_row(row.model_id, row.kind, f"{row.parameters:,}", row.licence, row.corpus, row.corpus_licence)
    return out.print(table if found else "no base model; 'memorial model import MANIFEST.yaml' brings one")


@app.command()
@answers
def show(model: ModelArgument, as_json: Json = False) -> None:
    """One model: digest, architecture, licences, where it came from."""
    from memorial_tasks.production.models import get_model
    from memorial_tasks.production.studio import Studio

    row = get_model(Studio.open(), model)
    if as_json:
        return emit(vars(row))
    for name, value in vars(row).items():
        out.print(f"{name.replace('_', ' '):<16} {value}")
    return None


@app.command("import")
@answers
def import_(
    manifest: Annotated[Path, typer.Argument(help="The manifest beside the checkpoint.", metavar="MANIFEST.yaml")],
    as_json: Json = False,
) -> None:
    """Take over a checkpoint: safetensors only, its digest and both licences checked first."""
    from memorial_tasks.production.models import import_model
    from memorial_tasks.production.studio import Studio, command_actor

    studio = Studio.open()
    row = import_model(studio, manifest, command_actor(studio.settings))
    emit(vars(row)) if as_json else out.print(f"{row.model_id}: {row.parameters:,} parameters, {row.licence}")


@app.command()
@answers
def train(
    kind: Annotated[str, typer.Argument(help="face or voice.", metavar="KIND")],
    corpus: Annotated[
        Path, typer.Argument(help="The corpus manifest; its files lie beside it.", metavar="CORPUS.yaml")
    ],
    config: Annotated[str, typer.Option(help="tiny, cpu or production; orders of the same config start from it.")] = "",
    as_json: Json = False,
) -> None:
    """Train a base model on a corpus, every item under a licence that allows films, and take it over."""
    from memorial_tasks.production.models import train_model
    from memorial_tasks.production.studio import Studio, command_actor

    if kind not in {"face", "voice"} or config not in {"", "tiny", "cpu", "production"}:
        raise typer.BadParameter("KIND is face or voice; --config is tiny, cpu or production")
    studio = Studio.open()
    actor = command_actor(studio.settings)

    def tell(share: float, what: str) -> None:
        if not as_json:
            say(f"{100 * share:3.0f} % {what}")

    row = train_model(studio, kind, corpus, config or studio.settings.train, actor, tell)
    emit(vars(row)) if as_json else out.print(f"{row.model_id}: {row.parameters:,} parameters, {row.licence}")


@app.command()
@answers
def export(
    model: ModelArgument,
    target: Annotated[Path, typer.Option("--out", help="Folder to write into.")],
    as_json: Json = False,
) -> None:
    """Write a model and its manifest for another studio."""
    from memorial_tasks.production.models import export_model
    from memorial_tasks.production.studio import Studio

    path = export_model(Studio.open(), model, target)
    emit({"model": model, "manifest": str(path)}) if as_json else out.print(str(path))


@app.command()
@answers
def evaluate(order: OrderArgument, as_json: Json = False) -> None:
    """Examine an order's face on photos it never learned from, and say what more photos would bring. Takes minutes."""
    from memorial_tasks.production.gates import export_report
    from memorial_tasks.production.steps import run_step
    from memorial_tasks.production.studio import Studio, command_actor

    studio = Studio.open()
    quiet = as_json
    row = run_step(
        studio,
        order,
        "evaluate_face",
        command_actor(studio.settings),
        lambda share, what: None if quiet else say(f"{100 * share:3.0f} % {what}"),
    )
    folder = export_report(studio, order, "evaluate_face", ("evaluation.json", "evaluation.png"))
    if as_json:
        return emit({"order": order, "face": row.metrics, "folder": str(folder)})
    table = Table("face", "mouth+eye PSNR", "SSIM", "sharpness", box=None, header_style="bold")
    rows = [name for name in ROWS if name in row.metrics["rows"]]
    for name in rows:
        figures, shown = row.metrics["rows"][name], ("mouth_eye_psnr", "ssim", "sharpness")
        table.add_row(name.replace("_", " "), *(f"{figures[key]:.2f}" for key in shown))
    out.print(table)
    likeness = row.metrics["identity"]
    out.print(f"likeness: as near to the photos as {likeness['percentile']:.0f} % of the photos are to each other")
    others = likeness["others"]
    if others is None:
        found = likeness["faces_found"] > 0
        out.print("no other people to compare with" if found else "no face was found in the made pictures")
    else:
        out.print(
            f"against {others['people']} other people: nearer to the photos than {others['percentile']:.0f} % of them;"
            f" equal error rate {100 * others['eer']:.1f} %"
        )
    if alone := row.metrics["without_critic"]:
        out.print(f"without the discriminator: {alone['mouth_eye_psnr']:.2f} dB, sharpness {alone['sharpness']:.2f}")
    for point in row.metrics["learning_curve"]:
        out.print(f"{point['photos']:.0f} photos: {point['mouth_eye_psnr']:.2f} dB")
    out.print(f"pictures: {folder / 'evaluation.png'}", soft_wrap=True)
    return out.print(f"rows from above: {', '.join(rows).replace('_', ' ')}; a column for each photo kept apart")
