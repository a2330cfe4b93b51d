"""`memorial audit`: read the trail, seal it, prove from it, hand it to somebody who need not trust us."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from memorial_tasks.cli.common import Json, answers, emit, out

if TYPE_CHECKING:
    from memorial_tasks.audit.note import PublicKey
    from memorial_tasks.audit.report import Person
    from memorial_tasks.audit.service import AuditRoom
    from memorial_tasks.audit.verify import Verification

app = typer.Typer(no_args_is_help=True, help="The audit trail: read, seal, verify, prove, export, report.")

Notes = Annotated[list[Path] | None, typer.Option("--checkpoint", help="A checkpoint kept from before; repeatable.")]


def _room() -> "AuditRoom":
    from memorial_tasks.audit.service import room_of
    from memorial_tasks.database.server import database_url
    from memorial_tasks.settings import Settings

    settings = Settings()
    return room_of(settings, database_url(settings.database_url, settings.database_dir))


@app.command("list")
@answers
def list_entries(
    order: Annotated[str | None, typer.Option(help="Only this order's entries.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="Only entries whose type begins like this.")] = None,
    newest: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
    as_json: Json = False,
) -> None:
    """What happened, in the log's order."""
    from memorial_tasks.audit.sequencer import sequence

    room = _room()
    sequence(room.url)
    entries = room.entries(order=order, kind=kind, newest=newest)
    if as_json:
        return emit({"entries": entries})
    table = Table("entry", "when (UTC)", "what", "order", "who", "decision", box=None, header_style="bold")
    for entry in entries:
        decision = " ".join(filter(None, (entry.get("decision"), entry.get("reason_code"))))
        who = f"{entry['actor']['kind']} {entry['actor']['id']}"
        table.add_row(str(entry["entry"]), entry["at"][:19], entry["type"], entry.get("order", ""), who, decision)
    return out.print(table if entries else "no entries")


@app.command()
@answers
def checkpoint(as_json: Json = False) -> None:
    """Seal the log's head with a signature and put it outside the database. Exit 1 when an anchor was missed."""
    room = _room()
    made, anchored = room.checkpoint()
    if as_json:
        emit(
            {
                "size": made.size if made else 0,
                "root": made.root.hex() if made else None,
                "note": made.note if made else None,
                "anchored": anchored.put,
                "missed": anchored.missed,
            }
        )
    elif made is None:
        out.print("the log is empty; nothing to seal")
    else:
        out.print(made.note, markup=False, end="", soft_wrap=True)
        for target, count in anchored.put.items():
            out.print(f"anchored {count} new: {target}", markup=False)
        for target, why in anchored.missed.items():
            out.print(f"MISSED {target}: {why}", markup=False)
    raise typer.Exit(1 if anchored.missed else 0)


@app.command()
@answers
def verify(
    bundle: Annotated[Path | None, typer.Option(help="An exported bundle instead of this studio's log.")] = None,
    checkpoint: Notes = None,
    key: Annotated[str | None, typer.Option(help="The log's public key (name+id+key) or a file with it.")] = None,
    proof: Annotated[Path | None, typer.Option(help="Check one proof document instead.")] = None,
    tsa: Annotated[Path | None, typer.Option(help="PEM certificates the bundle's time stamps must lead to.")] = None,
    as_json: Json = False,
) -> None:
    """Check the whole log, here or in a bundle, against every checkpoint. Names the first bad entry."""
    trusted = [_read(path) for path in checkpoint or []]
    if proof is not None:
        return _verify_proof(proof, _keys(key) if key else None, as_json)
    if bundle is not None:
        from memorial_tasks.audit.bundle import verify_bundle
        from memorial_tasks.audit.service import split_pem

        roots = split_pem(_read(tsa).encode()) if tsa else ()
        found = verify_bundle(bundle, _keys(key) if key else None, trusted=trusted, tsa_roots=roots)
    else:
        found = _room().verify(trusted=trusted)
    if as_json:
        emit(found.document())
    else:
        _tell(found)
    raise typer.Exit(0 if found.ok else 1)


def _tell(found: "Verification") -> None:
    out.print(f"log          {found.origin or 'not sealed yet'}", markup=False)
    out.print(f"entries      {found.size}" + (f" and {found.pending} not yet ordered" if found.pending else ""))
    out.print(f"checkpoints  {found.checkpoints}, confirmed from outside up to entry {found.anchored}")
    for fault in found.faults[:20]:
        out.print(f"  {fault}", markup=False)
    out.print("[green]verified[/green]" if found.ok else "[red]NOT verified[/red]")


def _verify_proof(path: Path, keys: "list[PublicKey] | None", as_json: bool) -> None:
    import json

    from memorial_tasks.audit.note import parse_key
    from memorial_tasks.audit.proof import FILE, verify_proof
    from memorial_tasks.errors import InputRefused, Problem

    try:
        document = json.loads(_read(path))
        parts = document["proofs"] if document["format"] == FILE else [document]
        used = keys or [parse_key(text) for part in parts[:1] for text in part["keys"]]
    except (ValueError, KeyError, TypeError) as error:
        raise InputRefused([Problem("audit.proof", "this is no proof", "give a file written by `prove`")]) from error
    heads = [verify_proof(part, used) for part in parts]
    # the proofs of a file must be about that file
    good = bool(heads) and all(f':"{document["sha256"]}"' in part["entry"] for part in parts if "sha256" in document)
    if as_json:
        emit({"verified": good, "proofs": len(heads), "origin": heads[0].origin if heads else None})
    else:
        out.print(f"{len(heads)} proofs hold" if good else "[red]the document proves nothing[/red]")
    raise typer.Exit(0 if good else 1)


@app.command()
@answers
def prove(
    what: Annotated[str, typer.Argument(help="An entry's number, or a file.", metavar="ENTRY|FILE")] = "",
    since: Annotated[Path | None, typer.Option(help="Prove that this old checkpoint's log was only added to.")] = None,
    out_file: Annotated[Path | None, typer.Option("--out", help="Write the proof here.")] = None,
    as_json: Json = False,
) -> None:
    """A self-contained proof that an entry, or every entry about a file, stands in the signed log."""
    import json

    from memorial_tasks.audit import note as notes
    from memorial_tasks.audit import proof as proofs
    from memorial_tasks.database.connection import AUDITOR, transaction

    if not what and since is None:
        raise typer.BadParameter("give an entry's number, a file, or --since CHECKPOINT")
    room = _room()
    public = room.keys.public
    if what:
        room.checkpoint()  # so that the newest entries are provable too
    with transaction(room.url, role=AUDITOR, application="memorial prove") as connection:
        document: dict[str, Any]
        if since is not None:
            document = proofs.prove_consistency(connection, notes.open_note(_read(since), room.keys.known), public)
        elif what.isdecimal():
            document = proofs.prove_entry(connection, int(what), public)
        else:
            document = proofs.prove_digest(connection, _digest(what), public)
    found = document["format"] != proofs.FILE or bool(document["proofs"])
    if out_file is not None:
        out_file.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if as_json or out_file is None:
        emit(document)
    elif found:
        out.print(f"proof written to {out_file}", markup=False)
    if not found and not as_json:
        out.print("no entry of the log names this file", style="red")
    raise typer.Exit(0 if found else 1)


@app.command()
@answers
def export(
    folder: Annotated[Path, typer.Option("--out", help="A new folder for the bundle.")],
    as_json: Json = False,
) -> None:
    """The whole log as plain files with a stand-alone verifier: everything an outsider needs."""
    from memorial_tasks.audit.bundle import export_bundle
    from memorial_tasks.database.connection import AUDITOR, transaction

    room = _room()
    _, anchored = room.checkpoint()
    with transaction(room.url, role=AUDITOR, application="memorial export") as connection:
        done = export_bundle(connection, room.keys.public, folder)
    document = {
        "folder": str(done.folder),
        "entries": done.entries,
        "checkpoints": done.checkpoints,
        "timestamps": done.timestamps,
        "key": str(room.keys.public[0]),
        "missed": anchored.missed,
    }
    if as_json:
        return emit(document)
    out.print(f"{done.entries} entries, {done.checkpoints} checkpoints in {done.folder}", markup=False)
    return out.print(f"the log's public key: {document['key']}", markup=False, soft_wrap=True)


@app.command("rotate-key")
@answers
def rotate_key(as_json: Json = False) -> None:
    """Sign with a new key from now on. The change is itself in the log and signed by the old and the new key; give the
    new public key to everybody who holds the old one. Exit 1 when an anchor was missed."""
    from memorial_tasks.audit.event import Actor
    from memorial_tasks.settings import Settings

    settings = Settings()
    room, made, anchored = _room().rotate_key(settings.keyring, Actor(kind="person", id=settings.operator))
    if as_json:
        emit({"size": made.size, "key": str(room.keys.public[0]), "note": made.note, "missed": anchored.missed})
    else:
        out.print(f"from entry {made.size} on the log is signed by {room.keys.public[0]}", markup=False, soft_wrap=True)
        for target, why in anchored.missed.items():
            out.print(f"MISSED {target}: {why}", markup=False)
    raise typer.Exit(1 if anchored.missed else 0)


def _people(order: str) -> "list[Person]":
    """The names in the family's order; none once it was erased or when it is not this studio's."""
    import yaml

    from memorial_tasks.audit.report import Person
    from memorial_tasks.errors import MemorialError
    from memorial_tasks.production.intake import order_document
    from memorial_tasks.production.studio import Studio

    try:
        document = yaml.safe_load(order_document(Studio.open(), order))
    except MemorialError:
        return []
    grantors = [Person(order, str(one["relation"]), str(one["name"])) for one in document["grantors"]]
    return [Person(order, "subject", str(document["subject"]["name"])), *grantors]


def _digest(what: str) -> str:
    from memorial_tasks.audit.proof import file_digest
    from memorial_tasks.errors import InputRefused, Problem

    if len(what) == 64 and all(letter in "0123456789abcdef" for letter in what):
        return what
    path = Path(what)
    if not path.is_file():
        raise InputRefused(
            [Problem("audit.file", "there is no such file", "give a file, a SHA-256 or an entry's number")]
        )
    return file_digest(path)


def _keys(text: str) -> "list[PublicKey]":
    from memorial_tasks.audit.bundle import read_keys
    from memorial_tasks.audit.note import parse_key

    path = Path(text)
    return read_keys(path) if "\n" not in text and len(text) < 4096 and path.is_file() else [parse_key(text)]


def _read(path: Path) -> str:
    from memorial_tasks.errors import InputRefused, Problem

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputRefused(
            [Problem("audit.file", "cannot be read as text", "check the path", file=path.name)]
        ) from error


@app.command()
@answers
def report(
    about: Annotated[
        str, typer.Argument(help="An order, a subject's pseudonym, or 2026-11 or 2026-11-01..2026-11-30.")
    ],
    folder: Annotated[Path | None, typer.Option("--out", help="Where to put it; the reports folder otherwise.")] = None,
    names: Annotated[bool, typer.Option(help="Show names while the vault's key lives.")] = True,
    as_json: Json = False,
) -> None:
    """A report for people without computer knowledge, in Chinese and English, as a page and as PDF. Exit 1 when the
    log does not verify; the report then says so."""
    from memorial_tasks.audit.service import write_report
    from memorial_tasks.settings import Settings

    settings = Settings()
    place = folder or settings.reports_dir / "audit"
    written = write_report(_room(), about, place, settings.assets_dir, _people if names else lambda order: ())
    if as_json:
        emit(written)
    else:
        out.print(
            f"{written['html']}\n{written['pdf'] or 'no PDF: ' + written['pdf_missing']}", markup=False, soft_wrap=True
        )
        out.print("[green]the log is genuine[/green]" if written["verified"] else "[red]the log is NOT genuine[/red]")
    raise typer.Exit(0 if written["verified"] else 1)
