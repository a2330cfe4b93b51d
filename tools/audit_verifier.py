# ruff: noqa: T201, RUF007
"""Checks an exported audit log, or one proof, without trusting whoever exported it. Needs only `cryptography`.

    audit_verifier.py BUNDLE --key KEY [--checkpoint OLD.note ...] [--anchor DIR]
    audit_verifier.py PROOF.json --key KEY [--file FILE]

KEY: the log's public key (``name+id+key``, or a file of such lines) from a second source, not from the bundle.
--checkpoint: every checkpoint you kept from before. --anchor: a folder of checkpoints and hashes kept outside."""

import argparse
import base64
import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from functools import reduce
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TOLERANCE = timedelta(minutes=15)  # between an entry's time and the signed times around it
AT = re.compile(rb'"at":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)"')
BAD = (ValueError, KeyError, TypeError, IndexError, AttributeError, OSError, InvalidSignature)


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def root_of(hashes):
    """RFC 9162, 2.1.1, bottom up: pair, carry an odd last one."""
    while len(hashes) > 1:
        odd = hashes[len(hashes) & ~1 :]
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
    return reduce(lambda right, peak: sha(b"\1", peak[1], right), peaks[-2::-1], peaks[-1][1]) if peaks else sha(b"")


def read_keys(text):
    """C2SP verifier keys -> [(name, key id, algorithm, key)]."""
    keys = []
    for name, key_id, encoded in (line.split("+", 2) for line in text.split()):
        blob = base64.b64decode(encoded)
        if sha(name.encode(), b"\n", blob)[:4].hex() != key_id or blob[0] not in (1, 4):
            raise ValueError(f"this is no verifier key: {name}")
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
                seconds, signature = int.from_bytes(blob[4:12], "big"), blob[12:]
                message = f"cosignature/v1\ntime {seconds}\n{message}"
                at = datetime.fromtimestamp(seconds, UTC)
            key.verify(signature, message.encode())
            signed |= algorithm == 1 and name == origin
    if not signed:
        raise ValueError("it is not signed by this log's key: another log, a retired key, or forged")
    return int(size), base64.b64decode(root), at


def keys_of(texts, keys):
    """Function: size of a checkpoint -> keys it needs. A checkpoint signed by both old and next keys changes them."""
    found = {}
    for text in texts:
        body = text.partition("\n\n")[0]
        old, new = (read_keys(" ".join(re.findall(f"^{w}-key (.+)$", body, re.M))) for w in ("retired", "next"))
        if new:
            found[body] = (min(open_note(text, old)[0], open_note(text, new)[0]), old, new)
    turns = sorted(found.values(), key=lambda turn: turn[0])
    chained = all(a[2] == b[1] for a, b in zip(turns, turns[1:], strict=False))
    if turns and not (chained and any(key in keys for _, old, new in turns for key in old + new)):
        raise ValueError("a change of keys is not signed by this log's key: it is forged")
    return lambda size: next((old for turned, old, _ in turns if size <= turned), turns[-1][2] if turns else keys)


def open_all(paths, keys):
    """Checkpoints in order of size -> ([(size, root, earliest time after it, latest before it)], [what is wrong])."""
    notes, faults, texts = {}, [], {path: path.read_text(encoding="utf-8") for path in paths}
    own = keys_of(texts.values(), keys)
    for path, text in texts.items():
        try:
            size, root, at = open_note(text, own(int(text.splitlines()[1])))
            around = [(at + d).strftime("%Y-%m-%dT%H:%M:%S.000Z").encode() for d in (-TOLERANCE, TOLERANCE) if at]
            if notes.setdefault(size, (size, root, *(around or (b"", b"~"))))[1] != root:
                raise ValueError(f"another signed checkpoint of size {size} has another root: the log was forked")
        except BAD as error:
            faults.append((None, f"checkpoint {path}: {str(error) or 'a signature is wrong'}"))
    return [notes[size] for size in sorted(notes)], faults


def check_bundle(folder, keys, kept, anchor):
    """Yields (first bad entry or None, what is wrong)."""
    notes, faults = open_all([*kept, *sorted(folder.glob("checkpoints/*.note"))], keys)
    yield from faults
    leaves = (folder / "leaves.bin").read_bytes() if (folder / "leaves.bin").exists() else b""
    peaks, done, fresh, index, broken = [], 0, [], -1, False
    earliest, latest = b"", notes[0][3] if notes else b"~"
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
                earliest, latest = notes[done - 1][2], notes[done][3] if done < len(notes) else b"~"
    print(f"{index + 1} entries, {len(notes)} valid checkpoints, {len(fresh)} entries younger than the newest of them")
    if done < len(notes):
        old = index + 1 - len(fresh)  # nothing confirms what comes after this
        bad = next((old + i for i, leaf in enumerate(fresh) if anchor.get(old + i) != leaf), index + 1)
        yield bad, f"the log ends after {index + 1} entries, a checkpoint counts {notes[done][0]}: cut, or an old copy"
    if not notes:
        yield None, "there is no valid checkpoint: nothing is proved"


def check_proof(document, keys, file):
    """Yields (entry, what is wrong) and prints what is proved."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest() if file else document.get("sha256")
    for proof in document.get("proofs") or [document]:  # an empty list proves nothing and fails below
        own = keys_of(proof.get("rotations", []), keys)(int(proof["checkpoint"].splitlines()[1]))
        size, root, _ = open_note(proof["checkpoint"], own)
        position, last, value = proof["index"], size - 1, sha(b"\0", proof["entry"].encode())
        if digest and f':"{digest}"' not in proof["entry"]:
            yield position, "the entry does not name this file"
        for sibling in map(bytes.fromhex, proof["path"]):  # RFC 9162, 2.1.3.2
            left = position % 2 or position == last
            value = sha(b"\1", sibling, value) if left else sha(b"\1", value, sibling)
            while left and position and position % 2 == 0:
                position, last = position >> 1, last >> 1
            position, last = position >> 1, last >> 1
        if last or value != root or not 0 <= proof["index"] < size:
            yield proof["index"], "the proof does not lead to the signed root"
        print(f"entry {proof['index']} of {size}: {proof['entry']}")


def check(given):
    keys = read_keys(Path(given.key).read_text() if Path(given.key).is_file() else given.key)
    if given.what.is_file():
        return list(check_proof(json.loads(given.what.read_text(encoding="utf-8")), keys, given.file))
    keys += [key for key in read_keys((given.what / "log.vkey").read_text()) if key[2] == 4 and key not in keys]
    kept, anchored = sorted(given.anchor.glob("*.note") if given.anchor else []), {}
    for path in given.anchor.glob("*.leaves") if given.anchor else []:
        blob = path.read_bytes()
        anchored.update((int(path.name[:12]) + i // 32, blob[i : i + 32]) for i in range(0, len(blob), 32))
    return list(check_bundle(given.what, keys, given.checkpoint + kept, anchored))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", type=Path, metavar="BUNDLE|PROOF.json")
    parser.add_argument("--key", required=True)
    parser.add_argument("--checkpoint", action="append", type=Path, default=[])
    parser.add_argument("--anchor", type=Path)
    parser.add_argument("--file", type=Path)
    try:
        faults = check(parser.parse_args())
    except BAD as error:
        faults = [(None, f"cannot be checked: {str(error) or 'a signature is wrong'}")]
    for entry, what in sorted(faults, key=lambda fault: (fault[0] is None, fault[0] or 0)):
        print("FAULT", what if entry is None else f"entry {entry}: {what}")
    print("FAILED" if faults else "OK")
    raise SystemExit(1 if faults else 0)


if __name__ == "__main__":
    main()
