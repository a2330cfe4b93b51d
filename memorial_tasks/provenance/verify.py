"""Does this file carry its label, its AIGC key, its manifest and its watermark? Works on any file and answers no.

A film has all of them to be seen and heard, in every rendition; a sound alone has its audible notice and the mark in
the sound; a still has the corner label and the mark in the picture.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from memorial_tasks.errors import InputRefused, Unavailable
from memorial_tasks.provenance import aigc, boxes, extracts, films, label, manifest, png, sound_mark
from memorial_tasks.provenance.layers import (
    LISTEN_S,
    RHYTHM,
    Check,
    check_aigc,
    check_manifest,
    check_watermark,
    sound_watermark,
)

_T = TypeVar("_T")
Luma = NDArray[np.uint8]
LAYERS = ("label", "aigc", "c2pa", "watermark")
_MIME = {"film": manifest.MIME, "sound": extracts.SOUND_MIME, "still": extracts.STILL_MIME}
EVERY_S = 5.0
_EDGES = (1080, 720, 2160, 540, 480)


@dataclass(frozen=True)
class FilmVerification:
    """The four layers of a film. `content_id` is the id the layers agree on, or the one that was asked for."""

    label: Check
    aigc: Check
    c2pa: Check
    watermark: Check
    content_id: str = ""

    @property
    def verified(self) -> bool:
        """True when every layer is there and says the same."""
        return not self.missing

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the layers that are not."""
        return tuple(name for name in LAYERS if not getattr(self, name).ok)

    def as_dict(self) -> dict[str, Any]:
        """For `memorial verify --json`."""
        return {"verified": self.verified, **asdict(self)}


def verify_film(
    path: Path,
    *,
    anchors_pem: str,
    watermark_key: bytes,
    assets: Path,
    content_id: str | None = None,
    deep: bool = False,
) -> FilmVerification:
    """Verify a finished film, or what was taken out of one: its sound (MP4 without a picture) or a still (PNG).

    `deep` looks for the watermark in zoomed and framed copies too (some seconds more).
    Without `content_id` the layers must agree among each other on one; with it they must agree with it. Never raises
    for what the file holds; `Unavailable` when the label font is missing, because then nothing can be said.
    """
    kind = kind_of(path)
    problem = _not_a_film(path) if kind == "film" else ""
    if problem:
        no = Check(False, problem)
        return FilmVerification(no, no, no, no, content_id or "")
    key = aigc.Reading(0, None, ("unreadable",))
    key = _guarded(lambda: aigc.read_png(path) if kind == "still" else aigc.read(path), key)
    signed = manifest.read(path, anchors_pem, _MIME[kind])
    said_by_manifest = (signed.consent or {}).get("content_id", "")
    said_by_key = key.label.produce_id if key.label else ""
    expected = content_id or said_by_manifest or said_by_key
    nothing = Check(False, f"the {'sound' if kind == 'sound' else 'picture'} cannot be decoded")
    looks = {"film": _look, "sound": _hear, "still": _look_at_still}
    seen, marked = _guarded(lambda: looks[kind](path, expected, watermark_key, assets, deep), (nothing, nothing))
    return FilmVerification(
        label=seen,
        aigc=check_aigc(key, expected),
        c2pa=check_manifest(signed, expected),
        watermark=marked,
        content_id=expected,
    )


def kind_of(path: Path) -> str:
    """What the file is, by what is in it: "still" (PNG), "sound" (MP4 that has nothing but sound), else "film"."""
    if png.is_png(path):
        return "still"
    return "sound" if _guarded(lambda: extracts.only_sound(path), False) else "film"


def verify_apart(
    path: Path,
    *,
    anchors_pem: str,
    watermark_key: bytes,
    assets: Path,
    content_id: str | None = None,
    deep: bool = False,
    timeout_s: float = 600.0,
) -> FilmVerification:
    """`verify_film` in a process of its own with bounded memory and time, for a file from anywhere: a decoder that a
    hostile file brings down takes nothing with it, and the answer is no. The key goes through a pipe."""
    order = {
        "path": str(path.absolute()),
        "anchors_pem": anchors_pem,
        "watermark_key": watermark_key.hex(),
        "assets": str(assets.absolute()),
        "content_id": content_id,
        "deep": deep,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "memorial_tasks.provenance.verify"],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd=Path(__file__).resolve().parents[2],
            check=False,
        )
        answer = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        no = Check(False, "reading the file failed or took too long")
        return FilmVerification(no, no, no, no, content_id or "")
    if "unavailable" in answer:
        raise Unavailable(answer["unavailable"], where=answer["where"], remedy=answer["remedy"])
    layers = {name: Check(**answer[name]) for name in LAYERS}
    return FilmVerification(**layers, content_id=answer["content_id"])


def _apart() -> None:
    """The other side of `verify_apart`: one JSON document in, one out."""
    for limit, most in ((resource.RLIMIT_AS, 12 << 30), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(limit, (most, most))
    order = json.load(sys.stdin)
    try:
        seen = verify_film(
            Path(order["path"]),
            anchors_pem=order["anchors_pem"],
            watermark_key=bytes.fromhex(order["watermark_key"]),
            assets=Path(order["assets"]),
            content_id=order["content_id"],
            deep=order["deep"],
        )
        answer = seen.as_dict()
    except Unavailable as error:
        answer = {"unavailable": error.what, "where": error.where, "remedy": error.remedy}
    json.dump(answer, sys.stdout)


def _guarded(read: Callable[[], _T], otherwise: _T) -> _T:
    try:
        return read()
    except Unavailable:
        raise
    except Exception:  # a hostile file may break any library in any way; the answer is no, not a traceback
        return otherwise


def _not_a_film(path: Path) -> str:
    try:
        with films.opened(path):
            return ""
    except InputRefused as error:
        return error.problems[0].what
    except Exception as error:  # as above
        return f"the file cannot be read ({type(error).__name__})"


def _times(seconds: float) -> list[float]:
    every = max(EVERY_S, seconds / 200)
    return [every * index for index in range(int(seconds // every) + 1)]


def _plan(card: Luma, content_id: str, assets: Path, stereo: bool) -> tuple[label.Layout, Callable[[Luma], Luma]]:
    """The layout the film was labelled with, and how to bring its frames to that size.

    A film that was scaled after sealing carries the letters of its first size, which differ by a pixel here and there
    from those of its present one. So the ordinary sizes are tried where the present one does not fit.
    """
    height, width = card.shape
    if stereo:
        return label.stereo_layout(assets, width, height, content_id), lambda luma: luma
    short = min(width, height)
    best: tuple[float, label.Layout] | None = None
    for edge in (short, *(size for size in _EDGES if size != short)):
        size = (round(width * edge / short), round(height * edge / short))
        plan = label.layout(assets, *size, content_id)
        score = label.card_score(_resized(card, size), plan.opening)
        if best is None or score > best[0]:
            best = score, plan
        if score >= label.SEEN:
            break
    plan = best[1] if best else label.layout(assets, width, height, content_id)
    return plan, lambda luma: _resized(luma, (plan.width, plan.height))


def _resized(luma: Luma, size: tuple[int, int]) -> Luma:
    if (luma.shape[1], luma.shape[0]) == size:
        return luma
    smaller = luma.shape[1] > size[0]
    return cv2.resize(luma, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC).astype(np.uint8)


def _look(path: Path, expected: str, key: bytes, assets: Path, deep: bool) -> tuple[Check, Check]:
    """Label and watermark in one pass over the sampled frames."""
    with films.opened(path) as container:
        seconds = films.duration(container)
        rate = float(container.streams.video[0].average_rate or 25)
    last = max(0.0, seconds - 1 / rate)
    opening = [0.0, 1.0, 2.0]
    ending = [max(0.0, seconds - 1.2), last]
    wanted = sorted({*opening, *ending, *_times(seconds)})
    shots = dict(zip(wanted, films.samples(path, wanted), strict=False))
    if len(shots) < len(wanted):
        raise films.refuse("frames are missing")
    plan, resize = _plan(shots[1.0].luma, expected, assets, boxes.is_stereo(path))
    luma = {t: resize(shot.luma) for t, shot in shots.items()}
    found = []
    corners = [plan.corner, *([plan.twin] if plan.twin else [])]
    unseen = [t for t in wanted if min(label.line_score(luma[t], one) for one in corners) < label.SEEN]
    if unseen:
        found.append(f"no corner label at {', '.join(f'{t:.1f}' for t in unseen[:5])} s")
    if min(label.card_score(luma[t], plan.opening) for t in opening) < label.SEEN:
        found.append("no opening card over the first 2 s")
    if min(label.card_score(luma[t], plan.ending) for t in ending) < label.SEEN:
        found.append("no end card with the content id")
    if seconds < label.OPENING_S:
        found.append("shorter than the opening card")
    heard = label.rhythm_score(films.sound(path, label.OPENING_S + 0.5), 16000)
    if heard < RHYTHM:
        found.append("no audible notice at the start")
    ink = plan.corner.ink / plan.edge
    said = f"opening card, corner label ({ink:.1%} of the short edge, {len(shots)} frames), end card, audible notice"
    seen = Check(not found, "; ".join(found) or said)
    marked = check_watermark([shot.luma for shot in shots.values()], expected, key, deep)
    # what the sound says decides nothing here: silence carries no mark
    heard_mark = sound_watermark(films.sound(path, LISTEN_S, sound_mark.RATE), expected, key)
    return seen, Check(marked.ok, f"picture: {marked.detail}; sound: {heard_mark.detail}")


def _hear(path: Path, expected: str, key: bytes, assets: Path, deep: bool) -> tuple[Check, Check]:
    """Audible notice and mark of a sound."""
    score = label.rhythm_score(extracts.sound_of(path, label.OPENING_S + 0.5, 16000), 16000)
    said = "audible notice at the start" if score >= RHYTHM else "no audible notice at the start"
    marked = sound_watermark(extracts.sound_of(path, LISTEN_S, sound_mark.RATE), expected, key)
    return Check(score >= RHYTHM, said), Check(marked.ok, f"sound: {marked.detail}")


def _look_at_still(path: Path, expected: str, key: bytes, assets: Path, deep: bool) -> tuple[Check, Check]:
    """Corner label and mark of a still."""
    luma = png.luma(path)
    plan = label.layout(assets, luma.shape[1], luma.shape[0], expected)
    there = label.line_score(luma, plan.corner) >= label.SEEN
    said = f"corner label ({plan.corner.ink / plan.edge:.1%} of the short edge)" if there else "no corner label"
    return Check(there, said), check_watermark([luma], expected, key, deep)


if __name__ == "__main__":
    _apart()
