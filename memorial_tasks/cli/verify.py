"""`memorial verify FILE`: label, AIGC key, manifest, watermark and audit entry of a finished film, sound or still."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from memorial_tasks.cli.common import Json, answers, emit, out

if TYPE_CHECKING:
    from memorial_tasks.settings import Settings

_DELIVERED = "film.delivered"
_NAMES = {
    "label": "visible and audible label",
    "aigc": "AIGC metadata",
    "c2pa": "signed manifest",
    "watermark": "watermark",
    "audit": "entry in the audit log",
}


@answers
def verify(
    file: Annotated[
        Path, typer.Argument(help="The film, its sound or a still.", metavar="FILE", exists=True, dir_okay=False)
    ],
    content_id: Annotated[
        str | None, typer.Option(help="The id the film must carry; else its layers must agree.")
    ] = None,
    search: Annotated[bool, typer.Option("--search", help="Look for the watermark in zoomed copies too.")] = False,
    as_json: Json = False,
) -> None:
    """Is this film, sound or still labelled, signed, marked and on record? Exit 0 when every layer is there, else 1."""
    from memorial_tasks.provenance.verify import verify_apart
    from memorial_tasks.settings import Settings

    settings = Settings()
    anchors, key = _trust(settings)
    seen = verify_apart(
        file,
        anchors_pem=anchors,
        watermark_key=key,
        assets=settings.assets_dir,
        content_id=content_id,
        deep=search,
    ).as_dict()
    audit = _audited(settings, file)
    verified = bool(seen["verified"] and audit["ok"])
    if as_json:
        emit({**seen, "verified": verified, "audit": audit})
    else:
        table = Table("", "layer", "what was found", box=None, header_style="bold")
        for name, words in _NAMES.items():
            check = audit if name == "audit" else seen[name]
            table.add_row("[green]ok[/green]" if check["ok"] else "[red]no[/red]", words, check["detail"])
        out.print(table)
        out.print(f"{'verified' if verified else '[red]not verified[/red]'}: {file.name}")
    raise typer.Exit(0 if verified else 1)


def _trust(settings: "Settings") -> tuple[str, bytes]:
    """The anchors and the watermark key of this studio; nothing where no studio was set up."""
    from memorial_tasks.production.credentials import signing_credential, watermark_key

    if not settings.keyring.is_dir():
        return "", b""
    return signing_credential(settings).anchors_pem, watermark_key(settings.keyring)


def _audited(settings: "Settings", file: Path) -> dict[str, Any]:
    """Does an entry under a signed checkpoint say that these very bytes were delivered?

    Bytes appended to an MP4 in a box of their own leave its manifest valid; only the digest on record sees them.
    """
    from memorial_tasks.audit.proof import file_digest, prove_digest
    from memorial_tasks.audit.sequencer import sequence
    from memorial_tasks.audit.service import room_of
    from memorial_tasks.database.connection import AUDITOR, transaction
    from memorial_tasks.database.server import database_url
    from memorial_tasks.errors import InputRefused, IntegrityError, Unavailable

    digest = file_digest(file)
    try:
        room = room_of(settings, database_url(settings.database_url, settings.database_dir))
        sequence(room.url)
        proofs: list[dict[str, Any]] = []
        for fresh in (False, True):
            if fresh:  # delivered since the last checkpoint: seal the log's head first
                room.checkpoint()
            try:
                with transaction(room.url, role=AUDITOR, application="memorial verify") as connection:
                    proofs = prove_digest(connection, digest, room.keys.public)["proofs"]
            except InputRefused:  # no checkpoint yet
                continue
            if any(f'"type":"{_DELIVERED}"' in proof["entry"] for proof in proofs):
                break
    except (Unavailable, IntegrityError) as error:
        return {"ok": False, "detail": f"the audit log gives no answer: {error.what}", "sha256": digest}
    if not proofs:
        return {"ok": False, "detail": "no entry names this file's digest", "sha256": digest}
    kinds = {proof["index"]: json.loads(proof["entry"])["type"] for proof in proofs}
    named = ", ".join(f"{kind} {index}" for index, kind in list(kinds.items())[-5:])
    if _DELIVERED not in kinds.values():
        return {"ok": False, "detail": f"on record, but never delivered ({named})", "sha256": digest}
    size = proofs[-1]["size"]
    return {"ok": True, "detail": f"entry {named} of {size} under a signed checkpoint", "sha256": digest}
