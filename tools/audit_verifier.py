#!/usr/bin/env python3
# ruff: noqa: T201
"""Checks an exported audit log, or one proof, without trusting whoever exported it. Needs only `cryptography`.

    audit_verifier.py BUNDLE --key KEY [--checkpoint OLD.note ...] [--anchor DIR]
    audit_verifier.py --proof PROOF.json --key KEY [--file FILE]

KEY is the log's public key (``name+id+key``, or a file of such lines) from a second source; without it the key inside
is used, which only shows that the bundle agrees with itself. --checkpoint: every checkpoint you kept from before.
--anchor: a folder of checkpoints and hashes kept outside the studio. Exit status 0 (OK) or 1 (FAILED).
"""

import argparse
import base64
import hashlib
import json
import re
import struct
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TOLERANCE = timedelta(minutes=15)  # between an entry's time and the signed times around it
AT = re.compile(rb'"at":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)"')


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def root_of(hashes):
    """RFC 9162, 2.1.1, bottom up: pair, carry an odd last one."""
    while len(hashes) > 1:
        odd = hashes[-1:] if len(hashes) % 2 else []
        hashes = [sha(b"\1", a, b) for a, b in zip(hashes[::2], hashes[1::2], strict=False)] + odd
    return hashes[0] if hashes else sha(b"")


def grow(peaks, hashes):
    """Adds leaf hashes to a tree kept as its complete subtrees [(leaves, root), ...]; returns the tree's root."""
    size, start = sum(leaves for leaves, _ in peaks), 0
    while start < len(hashes):
        count = 256 if size % 256 == 0 and len(hashes) - start >= 256 else 1
        height, value = count, root_of(hashes[start : start + count])
        while peaks and peaks[-1][0] == height:
            height, value = height * 2, sha(b"\1", peaks.pop()[1], value)
        peaks.append((height, value))
        size, start = size + count, start + count
    result = peaks[-1][1] if peaks else sha(b"")
    for _, peak in peaks[-2::-1]:
        result = sha(b"\1", peak, result)
    return result


def read_keys(text):
    """C2SP verifier keys -> [(name, key id, algorithm, key)]."""
    keys = []
    for line in text.split():
        name, key_id, encoded = line.split("+", 2)
        blob = base64.b64decode(encoded)
        if sha(name.encode(), b"\n", blob)[:4].hex() != key_id or blob[0] not in (1, 4):
            raise ValueError("this is no verifier key: " + line)
        keys.append((name, bytes.fromhex(key_id), blob[0], Ed25519PublicKey.from_public_bytes(blob[1:])))
    return keys


def open_note(text, keys):
    """C2SP checkpoint -> (size, root, signed time or None). ValueError unless the log's own key signed it."""
    body, _, signatures = text.partition("\n\n")
    origin, size, root = body.splitlines()[:3]
    signed, at = False, None
    for line in signatures.splitlines():
        _, name, encoded = line.split(" ")
        blob = base64.b64decode(encoded)
        for _, _, algorithm, key in [key for key in keys if key[:2] == (name, blob[:4])]:
            message, signature = body + "\n", blob[4:]
            if algorithm == 4:  # cosignature/v1: with the time of signing
                (seconds,) = struct.unpack(">Q", blob[4:12])
                message, signature = f"cosignature/v1\ntime {seconds}\n{message}", blob[12:]
                at = datetime.fromtimestamp(seconds, UTC)
            key.verify(signature, message.encode())
            signed |= algorithm == 1 and name == origin
    if not signed:
        raise ValueError("it is not signed by this log's key: another log, or forged")
    return int(size), base64.b64decode(root), at


def limit(note, shift, otherwise):
    return (note[2] + shift).strftime("%Y-%m-%dT%H:%M:%S.000Z").encode() if note and note[2] else otherwise


def check_bundle(folder, keys, kept, anchor):
    """Yields (first bad entry or None, what is wrong)."""
    notes, roots = [], {}
    for path in [*kept, *sorted(folder.glob("checkpoints/*.note"))]:
        try:
            notes.append(open_note(path.read_text(encoding="utf-8"), keys))
        except (ValueError, OSError, InvalidSignature) as error:
            yield None, f"checkpoint {path}: {str(error) or 'a signature is wrong'}"
            continue
        if roots.setdefault(notes[-1][0], notes[-1][1]) != notes[-1][1]:
            yield None, f"two different signed checkpoints of size {notes[-1][0]}: the log was forked"
    notes.sort(key=lambda note: note[0])
    leaves = (folder / "leaves.bin").read_bytes() if (folder / "leaves.bin").exists() else b""
    peaks, done, fresh, index, broken = [], 0, [], -1, False
    earliest, latest = b"", limit(notes[0] if notes else None, TOLERANCE, b"~")
    with (folder / "entries.ndjson").open("rb") as lines:
        for index, line in enumerate(lines):
            entry = line.rstrip(b"\n")
            own, stored = sha(b"\0", entry), leaves[32 * index : 32 * index + 32]
            if stored and own != stored:
                yield index, "the entry does not fit its hash: it was changed" if entry else "the entry is gone"
            found = AT.search(entry, 0, 512)
            if entry and not (found and earliest <= found[1] <= latest):
                yield index, "its time does not fit the signed times around it: back-dated or moved"
            fresh.append(stored or own)
            while done < len(notes) and notes[done][0] <= index + 1:
                first, size, root = index + 1 - len(fresh), *notes[done][:2]
                if grow(peaks, fresh) != root and not broken:
                    broken = True  # every later root differs too
                    exact = next((i for i, leaf in enumerate(fresh) if anchor.get(first + i, leaf) != leaf), None)
                    where = "" if exact is not None else f"; the first bad entry lies between {first} and {index}"
                    yield first + (exact or 0), f"the entries differ from the checkpoint of size {size}{where}"
                fresh, done = [], done + 1
                earliest = limit(notes[done - 1], -TOLERANCE, b"")
                latest = limit(notes[done] if done < len(notes) else None, TOLERANCE, b"~")
    print(f"{index + 1} entries, {len(notes)} valid checkpoints, {len(fresh)} entries younger than the newest of them")
    if done < len(notes):
        start = index + 1 - len(fresh)  # nothing confirms what comes after this
        bad = next((start + i for i, leaf in enumerate(fresh) if anchor.get(start + i) != leaf), index + 1)
        yield bad, f"the log ends after {index + 1} entries, a checkpoint counts {notes[done][0]}: cut, or an old copy"
    if not notes:
        yield None, "there is no valid checkpoint: nothing is proved"


def check_proof(document, keys, file):
    """Yields (entry, what is wrong) and prints what is proved."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest() if file else document.get("sha256")
    for proof in document.get("proofs") or [document]:  # an empty list proves nothing and fails below
        size, root, at = open_note(proof["checkpoint"], keys)
        position, last, value = proof["index"], size - 1, sha(b"\0", proof["entry"].encode())
        if digest and f':"{digest}"' not in proof["entry"]:
            yield position, "the entry does not name this file"
        for sibling in map(bytes.fromhex, proof["path"]):  # RFC 9162, 2.1.3.2
            if position % 2 or position == last:
                value = sha(b"\1", sibling, value)
                while position % 2 == 0 and position:
                    position, last = position >> 1, last >> 1
            else:
                value = sha(b"\1", value, sibling)
            position, last = position >> 1, last >> 1
        if last or value != root or not 0 <= proof["index"] < size:
            yield proof["index"], "the proof does not lead to the signed root"
        print(f"entry {proof['index']} of {size}, signed {at}: {proof['entry']}")


def check(given):
    document = json.loads(given.proof.read_text(encoding="utf-8")) if given.proof else {}
    inside = " ".join((document.get("proofs") or [document])[0].get("keys", []))
    inside = inside if given.proof else (given.bundle / "log.vkey").read_text()
    if not given.key:
        print("WARNING: no --key given; using the key that came with what is being checked")
    keys = read_keys(Path(given.key).read_text() if given.key and Path(given.key).is_file() else given.key or inside)
    keys += [key for key in read_keys(inside) if key[2] == 4 and key[1] not in [known[1] for known in keys]]
    if given.proof:
        return list(check_proof(document, keys, given.file))
    anchored = {}
    for path in given.anchor.glob("*.leaves") if given.anchor else []:
        first, blob = int(path.name[:12]), path.read_bytes()
        anchored.update((first + i // 32, blob[i : i + 32]) for i in range(0, len(blob), 32))
    kept = given.checkpoint + sorted(given.anchor.glob("*.note") if given.anchor else [])
    return list(check_bundle(given.bundle, keys, kept, anchored))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", type=Path)
    parser.add_argument("--key")
    parser.add_argument("--checkpoint", action="append", type=Path, default=[])
    for name in ("--anchor", "--proof", "--file"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    if bool(given.bundle) == bool(given.proof):
        parser.error("give a bundle or --proof")
    try:
        faults = check(given)
    except (ValueError, KeyError, TypeError, OSError, InvalidSignature) as error:
        faults = [(None, f"cannot be checked: {type(error).__name__} {error}")]
    for entry, what in sorted(faults, key=lambda fault: (fault[0] is None, fault[0] or 0)):
        print("FAULT", what if entry is None else f"entry {entry}: {what}")
    print("FAILED" if faults else "OK")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
