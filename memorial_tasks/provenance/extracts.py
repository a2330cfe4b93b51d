"""What is taken out of a sealed film: its sound alone, and still pictures. Both keep every layer of the label.

They are cut from the sealed film and never from what lay before it, so the notice at the beginning of the sound, the
corner label and the watermark are in them already; the AIGC key and a manifest of their own are added here.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from memorial_tasks.errors import IntegrityError
from memorial_tasks.provenance import aigc, boxes, films, manifest
from memorial_tasks.provenance.authority import Credential

SOUND_MIME: Final = "audio/mp4"
STILL_MIME: Final = "image/png"


@dataclass(frozen=True)
class Given:
    """What an extract is labelled, signed and read back with."""

    key: aigc.AigcLabel
    claim: manifest.Claim
    signing: Credential
    assets: Path
    watermark_key: bytes = b""
    stamp: str | None = None  # address of a time stamp authority


def write_sound(film: Path, target: Path, given: Given) -> dict[str, Any]:
    """The sound of a sealed film as M4A, its packets copied. Raises `IntegrityError` when a layer is missing then."""
    bare = target.with_name(f".{target.name}.bare.mp4")
    part = target.with_name(f".{target.name}.part.m4a")
    try:
        options = {"movflags": "+faststart+use_metadata_tags"}
        with films.opened(film) as source, av.open(str(bare), "w", format="mp4", options=options) as out:
            if not source.streams.audio:
                raise films.refuse("the film has no sound")
            out.metadata[aigc.KEY] = given.key.as_json()
            stream = out.add_stream_from_template(source.streams.audio[0])
            for packet in source.demux(source.streams.audio[0]):
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)
        manifest.sign(bare, part, given.claim, given.signing, given.stamp, SOUND_MIME)
        found = _require(part, "sound", given)
        part.replace(target)
    finally:
        bare.unlink(missing_ok=True)
        part.unlink(missing_ok=True)
    return found


def only_sound(path: Path) -> bool:
    """True for an MP4 with sound and no picture."""
    if not boxes.is_mp4(path):
        return False
    with _sound_container(path) as container:
        return bool(container.streams.audio) and not container.streams.video


def write_stills(film: Path, folder: Path, times: Sequence[float], given: Given) -> list[Path]:
    """Pictures of a sealed film as PNG, each with the label it has there, the AIGC key in XMP and a manifest.

    `times` are seconds of the sealed film. Raises `IntegrityError` when a layer is missing in one of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, rgb in enumerate(_frames(film, times), 1):
        target = folder / f"still-{number:02d}.png"
        bare, part = folder / f".{target.name}.bare.png", folder / f".{target.name}.part.png"
        try:
            about = PngInfo()
            about.add_itxt(aigc.XMP, aigc.xmp_packet(given.key))
            Image.fromarray(rgb).save(bare, "PNG", pnginfo=about, compress_level=6)
            manifest.sign(bare, part, given.claim, given.signing, None, STILL_MIME)
            _require(part, f"still {number}", given)
            part.replace(target)
        finally:
            bare.unlink(missing_ok=True)
            part.unlink(missing_ok=True)
        written.append(target)
    return written


def _require(path: Path, what: str, given: Given) -> dict[str, Any]:
    """Reads every layer back. A mark may be too faint for a short sound or a dark still, and stays a note."""
    from memorial_tasks.provenance.verify import LAYERS, verify_film

    seen = verify_film(
        path,
        anchors_pem=given.signing.anchors_pem,
        watermark_key=given.watermark_key,
        assets=given.assets,
        content_id=given.claim.content_id,
    )
    missing = [name for name in seen.missing if name != "watermark"]
    if missing:
        raise IntegrityError(f"the {what} lacks {', '.join(missing)}", remedy="it was not written; seal the film again")
    return {name: getattr(seen, name).ok for name in LAYERS}


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


@contextmanager
def _sound_container(path: Path) -> Iterator[Any]:
    """Opened by us, as `films.opened` does, so that nothing else is ever opened."""
    with path.open("rb") as file:
        options = {"protocol_whitelist": "", "enable_drefs": "0"}
        with av.open(file, format="mp4", options=options) as container:
            yield container


def sound_of(path: Path, seconds: float, rate: int) -> NDArray[np.float32]:
    """The first seconds of a sound file, mono float32."""
    parts: list[NDArray[np.float32]] = []
    with _sound_container(path) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
        for frame in container.decode(audio=0):
            parts += [piece.to_ndarray().reshape(-1).astype(np.float32) for piece in resampler.resample(frame)]
            if sum(map(len, parts)) >= seconds * rate:
                break
    return np.concatenate(parts)[: round(seconds * rate)] if parts else np.zeros(0, np.float32)
