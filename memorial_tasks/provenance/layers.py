"""What each layer of the label says, as an answer in words: the same for a film, a sound and a still."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.provenance import aigc, manifest, sound_mark, watermark

Luma = NDArray[np.uint8]
LISTEN_S = 90.0  # of sound in which the mark is looked for
RHYTHM = 0.8  # least score of the audible notice


@dataclass(frozen=True)
class Check:
    """One layer: is it there and sound, and in words what was found."""

    ok: bool
    detail: str


def check_aigc(reading: aigc.Reading, expected: str) -> Check:
    """The AIGC key: sound, alone, and naming the expected content."""
    if reading.problems or reading.label is None:
        return Check(False, "; ".join(reading.problems))
    if reading.label.produce_id != expected:
        return Check(False, "names another content id")
    return Check(True, f"Label {reading.label.label}, producer {reading.label.content_producer}, id {expected}")


def check_manifest(reading: manifest.Reading, expected: str) -> Check:
    """The manifest: trusted, and saying what has to be said about the expected content."""
    if reading.state == "none":
        return Check(False, f"no readable manifest ({', '.join(reading.failures)})")
    if reading.state == "Valid":
        return Check(False, "signed and unchanged, but the signer is not among the trusted anchors")
    if reading.state != "Trusted":
        return Check(False, f"{reading.state.lower()}: {', '.join(reading.failures)}")
    found = []
    if reading.source_type != manifest.SOURCE_TYPE:
        found.append("does not say that it was generated")
    if not reading.mining_refused:
        found.append("does not refuse data mining")
    if reading.consent is None:
        found.append("names no consent")
    elif reading.consent.get("content_id") != expected:
        found.append("names another content id")
    if found:
        return Check(False, "; ".join(found))
    return Check(True, f"trusted, signed by {reading.signed_by}, id {expected}")


def check_watermark(frames: Sequence[Luma], expected: str, key: bytes, deep: bool) -> Check:
    """The mark in pictures, at most forty of them; `deep` looks in zoomed and framed copies too."""
    if not key:
        return Check(False, "no key to read it with")
    detector = watermark.Detector(key)
    for luma in frames[:: math.ceil(len(frames) / 40)]:
        detector.add(luma)
    payload = watermark.payload_of(expected)
    mark = detector.result(payload, deep=deep)
    if not mark.present:
        return Check(False, f"not found (z = {mark.z:.1f})")
    if not expected and mark.payload is not None:
        return Check(True, f"present (z = {mark.z:.1f}), payload {mark.payload:08x}; no content id to compare it with")
    if mark.belongs(payload):
        return Check(True, f"present (z = {mark.z:.1f}), payload {payload:08x} belongs to id {expected}")
    if mark.payload is None:
        return Check(False, f"present (z = {mark.z:.1f}), but it is not that of id {expected} or too damaged to tell")
    return Check(False, f"marks another film ({mark.payload:08x})")


def sound_watermark(heard: NDArray[np.float32], expected: str, key: bytes) -> Check:
    """The mark in sound, float32 [N] at `sound_mark.RATE`."""
    if not key:
        return Check(False, "no key")
    payload = watermark.payload_of(expected)
    mark = sound_mark.detect(heard, key, payload)
    if not mark.present:
        return Check(False, f"not found (z = {mark.z:.1f})")
    if mark.belongs(payload):
        return Check(True, "the same mark")
    return Check(False, f"another mark (z = {mark.z:.1f})")
