"""`memorial delivery`: links for the family, what was handed out, taking it back, and the gate that serves links."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from memorial_tasks.cli.common import Json, OrderArgument, answers, emit, err, out

if TYPE_CHECKING:
    from memorial_tasks.database.registry import DeliveryRow
    from memorial_tasks.delivery.registry import DownloadRow, LinkRow

app = typer.Typer(no_args_is_help=True, help="Delivery: links, receipts, archives, taking back, the link gate.")

Recipient = Annotated[str, typer.Option(help="Who receives it, as 'memorial delivery list' names them.")]


def _link(row: "LinkRow") -> dict[str, Any]:
    from memorial_tasks.delivery.door import state_of

    return {
        "link_id": row.link_id,
        "state": state_of(row),
        "reason": row.revoke_reason,
        "downloads": row.downloads_allowed,
        "used": row.downloads_used,
        "wrong_codes": row.wrong_codes,
        "issued_at": row.issued_at.isoformat(),
        "expires_at": row.expires_at.isoformat(),
        "recipient_ref": row.recipient_ref,
        "film_sha256": row.film_sha256,
    }


def _delivery(row: "DeliveryRow") -> dict[str, Any]:
    return {
        "delivery_id": row.delivery_id,
        "film_sha256": row.film_sha256,
        "target": row.target,
        "place": row.place,
        "files": len(row.objects),
        "delivered_at": row.delivered_at.isoformat(),
        "revoked_at": row.revoked_at.isoformat() if row.revoked_at else None,
    }


@app.command("list")
@answers
def list_order(order: OrderArgument, as_json: Json = False) -> None:
    """What was delivered where, every link with its state, and who may receive the film."""
    from memorial_tasks.database import registry
    from memorial_tasks.delivery.links import consented
    from memorial_tasks.delivery.recipients import described
    from memorial_tasks.delivery.registry import list_downloads, list_links
    from memorial_tasks.errors import ConsentRefused
    from memorial_tasks.production.studio import Studio

    studio = Studio.open()
    with studio.transaction() as connection:
        row = studio.order(connection, order)
        deliveries = registry.list_deliveries(connection, order)
        links, downloads = list_links(connection, order), list_downloads(connection, order)
        try:
            recipients = described(consented(studio, connection, row))
        except ConsentRefused:
            recipients = {}
    if as_json:
        return emit(
            {
                "order": order,
                "deliveries": [_delivery(one) for one in deliveries],
                "links": [_link(one) for one in links],
                "hand_overs": len(downloads),
                "recipients": [{"recipient": ref, "who": who} for ref, who in recipients.items()],
            }
        )
    for one in deliveries:
        state = "revoked" if one.revoked_at else "delivered"
        out.print(f"{state} {one.delivered_at:%Y-%m-%d %H:%M}  {one.place or one.target}")
    table = Table("link", "state", "used", "until", "wrong codes", box=None, header_style="bold")
    for link in map(_link, links):
        used = f"{link['used']} of {link['downloads']}"
        table.add_row(link["link_id"], link["state"], used, link["expires_at"][:16], str(link["wrong_codes"]))
    out.print(table if links else "no links")
    for ref, who in recipients.items():
        out.print(f"may receive it: {ref} ({who})")
    return None if recipients else out.print("nobody may receive it: consent does not hold now")


@app.command()
@answers
def link(
    order: OrderArgument,
    recipient: Recipient = "",
    downloads: Annotated[int, typer.Option(help="How often the film can be fetched.")] = 1,
    days: Annotated[int, typer.Option(help="How long; never longer than the consent.")] = 30,
    as_json: Json = False,
) -> None:
    """Make a link and its code. Both are shown once: send the link one way and tell the code another."""
    from memorial_tasks.delivery.links import issue
    from memorial_tasks.production.studio import Studio, command_actor

    studio = Studio.open()
    who = command_actor(studio.settings)
    made = issue(studio, order, who, recipient=recipient, downloads=downloads, days=days)
    if as_json:
        return emit(
            {
                "order": order,
                "link_id": made.link_id,
                "link": made.url,
                "code": made.code,
                "recipient": made.recipient,
                "downloads": made.downloads,
                "expires_at": made.expires_at.isoformat(),
            }
        )
    out.print(f"link   {made.url}", soft_wrap=True)
    out.print(f"code   {made.code}")
    out.print(f"until  {made.expires_at:%Y-%m-%d %H:%M} UTC, {made.downloads} download(s), {made.link_id}")
    return err.print("Shown once. Send the link, and tell the code another way, for example by telephone.", style="dim")


@app.command()
@answers
def revoke(
    link_or_order: Annotated[
        str, typer.Argument(metavar="LINK|ORDER", help="A link's id, or an order: all its links.")
    ],
    as_json: Json = False,
) -> None:
    """Close a link, or every link of an order, at once. Closing twice is closing once."""
    from memorial_tasks.delivery.links import revoke as close
    from memorial_tasks.production.studio import Studio, command_actor

    studio = Studio.open()
    closed = close(studio, link_or_order, command_actor(studio.settings))
    emit({"revoked": closed}) if as_json else out.print(", ".join(closed) or "no link was open")


@app.command()
@answers
def receipts(
    order: OrderArgument,
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Write each receipt, its signature and its key into this folder."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Every hand-over with its signed receipt; each signature is checked. `memorial audit prove FILE` finds a written
    receipt in the signed log."""
    from memorial_tasks.consent.record import Signature
    from memorial_tasks.delivery.keys import receipt_keys
    from memorial_tasks.delivery.receipts import Receipt, verify_receipt
    from memorial_tasks.delivery.registry import list_downloads
    from memorial_tasks.production.studio import Studio
    from memorial_tasks.vault.signing import public_pem

    studio = Studio.open()
    with studio.transaction() as connection:
        studio.order(connection, order)
        rows = list_downloads(connection, order)
    trusted = receipt_keys(studio.settings.keyring)
    found = []
    for row in rows:
        receipt = Receipt(row.receipt_id, row.receipt, Signature(kid=row.kid, value=row.signature)).document()
        verify_receipt(receipt, trusted)
        completed = row.completed_at.isoformat() if row.completed_at else None
        if folder is not None:
            _write_receipt(folder, row, public_pem(trusted[row.kid]))
        found.append(receipt | {"bytes_sent": row.bytes_sent, "completed_at": completed})
    if as_json:
        return emit({"order": order, "receipts": found})
    table = Table("when", "what", "through", "link", "film", "receipt", box=None, header_style="bold")
    for one in found:
        body = one["receipt"]
        link_id = body.get("link", "")
        table.add_row(
            body["at"][:16], body["kind"], body["through"], link_id, body["film_sha256"][:12], body["receipt_id"][:8]
        )
    return out.print(table if found else "nothing was handed out")


def _write_receipt(folder: Path, row: "DownloadRow", pem: str) -> None:
    """The signed bytes as they are, with what `openssl pkeyutl -verify -rawin` needs to check them without us."""
    from memorial_tasks.errors import Unavailable

    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{row.receipt_id}.json").write_bytes(row.receipt)
        (folder / f"{row.receipt_id}.sig").write_bytes(bytes.fromhex(row.signature))
        (folder / f"{row.kid}.pub.pem").write_text(pem)
    except OSError as error:
        raise Unavailable(
            f"the receipts cannot be written ({error.strerror})", where="--out", remedy="choose another folder"
        ) from error


@app.command()
@answers
def archive(
    order: OrderArgument,
    to: Annotated[Path, typer.Option("--out", help="The file to write, for example film.zip.")],
    recipient: Recipient = "",
    as_json: Json = False,
) -> None:
    """Write an encrypted archive for a family without an account. The passphrase is shown once and kept nowhere."""
    from memorial_tasks.delivery.archive import make_archive
    from memorial_tasks.production.studio import Studio, command_actor

    studio = Studio.open()
    made = make_archive(studio, order, to, command_actor(studio.settings), recipient=recipient)
    if as_json:
        return emit(
            {
                "order": order,
                "archive": str(made.path),
                "passphrase": made.passphrase,
                "sha256": made.sha256,
                "bytes": made.size,
                "receipt": made.receipt.document(),
            }
        )
    out.print(f"archive     {made.path}", soft_wrap=True)
    out.print(f"passphrase  {made.passphrase}")
    note = "Shown once. The family opens it with 7-Zip (Windows, Linux) or Keka (macOS); README.txt in it says how."
    return err.print(note, style="dim")


@app.command()
@answers
def withdraw(
    order: OrderArgument,
    erase: Annotated[bool, typer.Option("--erase", help="Also destroy the delivered copies, every version.")] = False,
    as_json: Json = False,
) -> None:
    """Take the film back: no delivery and no link is good any more. Consent itself is 'memorial consent withdraw'."""
    from memorial_tasks.production.deliveries import withdraw_deliveries
    from memorial_tasks.production.studio import Studio, command_actor

    studio = Studio.open()
    done = withdraw_deliveries(studio, order, command_actor(studio.settings), erase=erase)
    if as_json:
        return emit({"order": order, "erased": erase} | done)
    return out.print(f"{done['deliveries']} deliveries and {done['links']} links ended, {done['objects']} files gone")


@app.command()
@answers
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; loopback unless a proxy is on another machine.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="Port; MEMORIAL_DELIVERY_PORT when not given.")] = 0,
) -> None:
    """Serve the links until interrupted. Put a proxy with TLS before it; MEMORIAL_DELIVERY_URL names its address."""
    from memorial_tasks.delivery.door import Door
    from memorial_tasks.delivery.serve import server
    from memorial_tasks.errors import Unavailable

    door = Door.open()
    if door.settings.profile == "production" and not (door.settings.delivery_url or "").startswith("https://"):
        raise Unavailable(
            "in production links need an https address", where="MEMORIAL_DELIVERY_URL", remedy="set it to the proxy's"
        )
    gate = server(door, host, port or door.settings.delivery_port)
    gate.run()
    if not gate.started:
        raise Unavailable("the gate could not listen", where=f"{host}:{port}", remedy="choose another port")
