"""What is taken out of a sealed film: its sound alone, and still pictures. Both keep every layer of the label.

They are cut from the sealed film and never from what lay before it, so the notice at the beginning of the sound, the
corner label and the watermark are in them already; the AIGC key and a manifest of their own are added here.
"""

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from memorial_tasks.errors import IntegrityError
from memorial_tasks.provenance import aigc, films, label, manifest, sound_mark, watermark
from memorial_tasks.provenance.authority import Credential

SOUND_MIME: Final = "audio/mp4"
STILL_MIME: Final = "image/png"
_HEARD: Final = 0.8  # as in `verify`
_LISTEN_S: Final = 90.0


def write_sound(
    film: Path, target: Path, key: aigc.AigcLabel, claim: manifest.Claim, signing: Credential, stamp: str | None = None
) -> dict[str, Any]:
    """The sound of a sealed film as M4A, its packets copied. Raises `IntegrityError` when a layer is missing then."""
    bare = target.with_name(f".{target.name}.bare.mp4")
    part = target.with_name(f".{target.name}.part.m4a")
    try:
        options = {"movflags": "+faststart+use_metadata_tags"}
        with films.opened(film) as source, av.open(str(bare), "w", format="mp4", options=options) as out:
            if not source.streams.audio:
                raise films.refuse("the film has no sound")
            out.metadata[aigc.KEY] = key.as_json()
            stream = out.add_stream_from_template(source.streams.audio[0])
            for packet in source.demux(source.streams.audio[0]):
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)
        manifest.sign(bare, part, claim, signing, stamp, SOUND_MIME)
        found = check_sound(part, signing.anchors_pem, claim.content_id)
        _require(found, "sound")
        part.replace(target)
    finally:
        bare.unlink(missing_ok=True)
        part.unlink(missing_ok=True)
    return found


def check_sound(path: Path, anchors_pem: str, content_id: str, key: bytes = b"") -> dict[str, Any]:
    """Each layer of a sound file: name -> found. The watermark is asked for only with a `key`."""
    signed, said = manifest.read(path, anchors_pem, SOUND_MIME), aigc.read(path)
    heard = _decoded(path, label.OPENING_S + 0.5, 16000)
    found: dict[str, Any] = {
        "label": label.rhythm_score(heard, 16000) >= _HEARD,
        "aigc": not said.problems and said.label is not None and said.label.produce_id == content_id,
        "c2pa": signed.state == "Trusted" and (signed.consent or {}).get("content_id") == content_id,
    }
    if key:
        payload = watermark.payload_of(content_id)
        mark = sound_mark.detect(_decoded(path, _LISTEN_S, sound_mark.RATE), key, payload)
        found["watermark"] = mark.present and mark.belongs(payload)
    return found


def write_stills(
    film: Path,
    folder: Path,
    times: Sequence[float],
    key: aigc.AigcLabel,
    claim: manifest.Claim,
    signing: Credential,
    assets: Path,
) -> list[Path]:
    """Pictures of a sealed film as PNG, each with the label it has there, the AIGC key as text and a manifest.

    `times` are seconds of the sealed film. Raises `IntegrityError` when a layer is missing in one of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, rgb in enumerate(_frames(film, times), 1):
        target = folder / f"still-{number:02d}.png"
        bare, part = folder / f".{target.name}.bare.png", folder / f".{target.name}.part.png"
        try:
            about = PngInfo()
            about.add_text(aigc.KEY, key.as_json())
            Image.fromarray(rgb).save(bare, "PNG", pnginfo=about, compress_level=6)
            manifest.sign(bare, part, claim, signing, None, STILL_MIME)
            _require(check_still(part, signing.anchors_pem, claim.content_id, assets), f"still {number}")
            part.replace(target)
        finally:
            bare.unlink(missing_ok=True)
            part.unlink(missing_ok=True)
        written.append(target)
    return written


def check_still(path: Path, anchors_pem: str, content_id: str, assets: Path) -> dict[str, Any]:
    """Each layer of a still: name -> found."""
    signed = manifest.read(path, anchors_pem, STILL_MIME)
    with Image.open(path) as image:
        luma = np.asarray(image.convert("L"), np.uint8)
        said = json.loads(str(image.info.get(aigc.KEY, "{}")))
    plan = label.layout(assets, luma.shape[1], luma.shape[0], content_id)
    return {
        "label": label.line_score(luma, plan.corner) >= label.SEEN,
        "aigc": not aigc.problems(said) and said.get("ProduceID") == content_id,
        "c2pa": signed.state == "Trusted" and (signed.consent or {}).get("content_id") == content_id,
    }


def _require(found: dict[str, Any], what: str) -> None:
    missing = [name for name, there in found.items() if not there]
    if missing:
        raise IntegrityError(f"the {what} lacks {', '.join(missing)}", remedy="it was not written; seal the film again")


def _frames(film: Path, times: Sequence[float]) -> list[NDArray[np.uint8]]:
    out = []
    with films.opened(film) as container:
        stream = container.streams.video[0]
        rate = Fraction(stream.average_rate or 25)
        for time in sorted(times):
            container.seek(int(time / stream.time_base), stream=stream, backward=True)
            for frame in container.decode(stream):
                if (frame.time or 0.0) >= time - 0.5 / rate:
                    out.append(frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray())
                    break
    return out


def _decoded(path: Path, seconds: float, rate: int) -> NDArray[np.float32]:
    """The first seconds of a sound file, mono float32."""
    parts: list[NDArray[np.float32]] = []
    with av.open(str(path), format="mp4", options={"protocol_whitelist": "file", "enable_drefs": "0"}) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
        for frame in container.decode(audio=0):
            parts += [piece.to_ndarray().reshape(-1).astype(np.float32) for piece in resampler.resample(frame)]
            if sum(map(len, parts)) >= seconds * rate:
                break
    return np.concatenate(parts)[: round(seconds * rate)] if parts else np.zeros(0, np.float32)
