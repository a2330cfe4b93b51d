"""The exported bundle: the whole log as plain files, to be checked anywhere, by anybody, without the studio.

::

    FORMAT                   memorial-audit-bundle/1
    entries.ndjson           line n is entry n, exactly the bytes that were hashed
    leaves.bin               the stored hashes, 32 bytes an entry
    checkpoints/SIZE.note    every signed checkpoint
    timestamps/SIZE.tsr      RFC 3161 responses over checkpoints, when a time-stamp authority is configured
    log.vkey                 the log's public keys
    audit_verifier.py        checks all this; needs Python and `cryptography`
    READ-ME-FIRST.txt        how, in Chinese and English
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from psycopg2.extensions import connection as Connection

from memorial_tasks.audit import note as notes
from memorial_tasks.audit.anchor import check_timestamps
from memorial_tasks.audit.note import PublicKey
from memorial_tasks.audit.verify import KnownLeaves, Verification, read_log, verify_entries
from memorial_tasks.database.connection import rows
from memorial_tasks.errors import InputRefused, Problem

FORMAT = "memorial-audit-bundle/1"
VERIFIER = "audit_verifier.py"

_READ_ME = """\
这是追思影像工作室的审计日志。不需要信任工作室，也不需要联网，即可检验它是否被改动过：
This is the audit log of a memorial studio. Whether it was altered can be checked without trusting the studio
and without a network:

    python3 -m pip install cryptography
    python3 audit_verifier.py . --key "{key}" --checkpoint YOUR-OLD-CHECKPOINT.note

时间戳（如有）用 openssl 检验，ROOTS.pem 是时间戳机构的证书。
Time stamps, where there are any, are checked with the authority's certificates:

    openssl ts -verify -data checkpoints/SIZE.note -in timestamps/SIZE.tsr -CAfile ROOTS.pem

`--key` 应来自工作室以外的渠道（合同、打印的凭证）；`--checkpoint` 是您从前保存的检查点文件，可以给出多个。
Take the key from a second source (the contract, a printed receipt); give every checkpoint you kept from before.
最后一行是 OK 或 FAILED，并指出第一条有问题的记录。
The last line says OK, or FAILED and which entry is the first bad one.
"""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    folder: Path
    entries: int
    checkpoints: int
    timestamps: int


def export_bundle(connection: Connection, keys: Sequence[PublicKey], folder: Path) -> Exported:
    """Writes the bundle into the new or empty `folder`. The log is written as it stands, also a tampered one:
    judging it is the reader's right.

    Args:
        connection: as `memorial_auditor`, with no statement run yet in its transaction.

    Raises:
        InputRefused: the folder holds something already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputRefused(
            [Problem("audit.out", "the folder is not empty", "choose a new folder", field="out", file=folder.name)]
        )
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    with (folder / "entries.ndjson").open("wb") as entries, (folder / "leaves.bin").open("wb") as leaves:
        size = 0
        for chunk in read_log(connection):
            # an entry is canonical JSON and holds no line break; one that does was tampered with and fails by its hash
            entries.write(b"".join([(body or b"").replace(b"\n", b" ") + b"\n" for body in chunk.bodies]))
            leaves.write(b"".join(chunk.leaves))
            size += len(chunk.bodies)
    texts = [row["note"] for row in rows(connection, "SELECT note FROM audit.checkpoint ORDER BY size")]
    sizes = [row["size"] for row in rows(connection, "SELECT size FROM audit.checkpoint ORDER BY size")]
    for size, text in zip(sizes, texts, strict=True):
        (folder / "checkpoints" / f"{size:012d}.note").write_text(text, encoding="utf-8")
    stamps = _write_stamps(connection, folder)
    (folder / "log.vkey").write_text("".join(f"{key}\n" for key in keys), encoding="utf-8")
    (folder / "READ-ME-FIRST.txt").write_text(_READ_ME.format(key=keys[0]), encoding="utf-8")
    (folder / "FORMAT").write_text(f"{FORMAT}\n")
    verifier = verifier_path()
    if verifier is not None:
        shutil.copyfile(verifier, folder / VERIFIER)
    return Exported(folder, size, len(texts), stamps)


def verify_bundle(
    folder: Path,
    keys: Sequence[PublicKey] | None = None,
    *,
    trusted: Iterable[str] = (),
    known_leaves: KnownLeaves | None = None,
    tsa_roots: Sequence[bytes] = (),
) -> Verification:
    """Verifies an exported bundle. Without `keys` the ones inside it are used, which only shows that it is
    consistent in itself. With `tsa_roots` (PEM) every time stamp has to be that authority's.

    Raises:
        InputRefused: the folder is no bundle.
    """
    try:
        if (folder / "FORMAT").read_text().strip() != FORMAT:
            raise OSError
        texts = [path.read_text(encoding="utf-8") for path in sorted((folder / "checkpoints").glob("*.note"))]
        used = keys or read_keys(folder / "log.vkey")
        leaves = (folder / "leaves.bin").read_bytes() if (folder / "leaves.bin").exists() else None
    except OSError as error:
        raise InputRefused(
            [Problem("audit.bundle", "this is no audit bundle", "give a folder made by `memorial audit export`")]
        ) from error
    found = verify_entries(
        _lines(folder / "entries.ndjson"), texts, used, trusted=trusted, leaves=leaves, known_leaves=known_leaves
    )
    if not tsa_roots:
        return found
    wrong = tuple(check_timestamps(_stamped(folder), tsa_roots))
    return replace(found, ok=found.ok and not wrong, faults=(*found.faults, *wrong))


def read_keys(path: Path) -> list[PublicKey]:
    """The verifier keys of a file, one a line."""
    return [notes.parse_key(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def verifier_path() -> Path | None:
    """Where the stand-alone verifier lies: ``tools/`` beside the package, or inside the package when installed."""
    here = Path(__file__).resolve()
    for path in (here.parents[2] / "tools" / VERIFIER, here.parent / VERIFIER):
        if path.is_file():
            return path
    return None


def _write_stamps(connection: Connection, folder: Path) -> int:
    found = rows(
        connection,
        "SELECT size, receipt FROM audit.anchor WHERE target LIKE 'rfc3161:%%' AND receipt IS NOT NULL ORDER BY size",
        (),
    )
    for row in found:
        (folder / "timestamps").mkdir(exist_ok=True)
        (folder / "timestamps" / f"{row['size']:012d}.tsr").write_bytes(row["receipt"])
    return len(found)


def _stamped(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted((folder / "timestamps").glob("*.tsr")):
        yield (folder / "checkpoints" / f"{path.stem}.note").read_text(encoding="utf-8"), path.read_bytes()


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        for line in stream:
            yield line[:-1] if line.endswith(b"\n") else line
