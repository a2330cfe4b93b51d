"""Sealing: from the finished, unlabelled film to the one that may leave the house.

One pass decodes, labels, watermarks and encodes with constant memory; then the AIGC key is in the file; then the
manifest is signed over it as the last write; then all four layers are read back. Any tool that touches the file
afterwards breaks the manifest, which is what it is for.
"""

import hashlib
import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from memorial_tasks.errors import InputRefused, IntegrityError, Problem
from memorial_tasks.provenance import aigc, authority, films, label, manifest, sound_mark, subtitles, watermark
from memorial_tasks.provenance.verify import FilmVerification, verify_film

RATE = 48000
_CRF, _PRESET = "19", "veryfast"
_KEYFRAME_S = 2  # so that a verifier, and a viewer, can jump


@dataclass(frozen=True)
class SealRequest:
    """What a film is sealed with. References only: nothing here may name a person.

    `profile` "production" refuses development certificates and the placeholder producer code. `subtitles` maps a
    language tag to a SubRip file timed to the unsealed film; they are moved by the opening card.
    """

    content_id: str
    producer_code: str
    consent_ref: str
    purpose: str
    audit_ref: str
    created_at: datetime
    profile: Literal["development", "production"] = "development"
    subtitles: Mapping[str, Path] = field(default_factory=dict)
    time_stamp_url: str | None = None


@dataclass(frozen=True)
class SealReport:
    """What was written. Times in seconds, ink as a share of the shortest edge, PSNR of the watermark in dB."""

    content_id: str
    sha256: str
    content_sha256: str  # before the manifest was signed, which is the one part that never comes out twice alike
    size: int
    width: int
    height: int
    fps: float
    duration: float
    lead_in: float
    tail: float
    frames: int
    corner_ink: float
    card_ink: float
    watermark_payload: str
    watermark_psnr: float
    subtitles: tuple[str, ...]
    verification: FilmVerification

    def as_dict(self) -> dict[str, Any]:
        """For seal.json."""
        return {**asdict(self), "verification": self.verification.as_dict()}


def seal_film(
    source: Path,
    target: Path,
    request: SealRequest,
    *,
    assets: Path,
    signing: authority.Credential,
    watermark_key: bytes,
    progress: Callable[[float, str], None] = lambda fraction, message: None,
    stereo: Callable[[Path, Path], None] | None = None,
) -> SealReport:
    """Seal `source` into `target`, which appears complete or not at all.

    `stereo` is given for a film with one picture for each eye, side by side: both get the label, and it is called with
    the labelled film and a place to write it to with its spherical metadata, before the manifest is signed over it.

    Raises `InputRefused` for a request or a film that cannot be sealed, `IntegrityError` when a layer is not found in
    the finished file.
    """
    key = _check(request, signing, watermark_key)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".seal-", dir=target.parent) as folder:
        encoded, signed = Path(folder) / "encoded.mp4", Path(folder) / "signed.mp4"
        with films.opened(source) as container:
            made = _Pass(container, encoded, request, key, assets, watermark_key, progress, bool(stereo)).run()
        if stereo:
            flat = encoded.rename(Path(folder) / "flat.mp4")
            stereo(flat, encoded)
        progress(0.88, "signing")
        claim = manifest.Claim(
            request.content_id, request.consent_ref, request.purpose, request.audit_ref, request.created_at
        )
        manifest.sign(encoded, signed, claim, signing, request.time_stamp_url)
        content = _digest(encoded)
        encoded.unlink()
        progress(0.92, "reading back")
        verification = verify_film(
            signed,
            anchors_pem=signing.anchors_pem,
            watermark_key=watermark_key,
            assets=assets,
            content_id=request.content_id,
        )
        _require(verification, signed, made)
        report = SealReport(
            content_id=request.content_id,
            sha256=_digest(signed),
            content_sha256=content,
            size=signed.stat().st_size,
            watermark_payload=f"{watermark.payload_of(request.content_id):08x}",
            verification=verification,
            **made,
        )
        signed.replace(target)
    progress(1.0, "sealed")
    return report


def _check(request: SealRequest, signing: authority.Credential, watermark_key: bytes) -> aigc.AigcLabel:
    production = request.profile == "production"
    found: list[Problem] = []
    for check in (
        lambda: authority.check_credential(signing, production=production),
        lambda: aigc.first_label(request.producer_code, request.content_id),
    ):
        try:
            check()
        except InputRefused as error:
            found += error.problems
    if production and request.producer_code == aigc.PLACEHOLDER_PRODUCER:
        found.append(
            Problem(
                "aigc.placeholder",
                "the producer code is the placeholder",
                "configure the studio's own code",
                field="producer_code",
            )
        )
    if len(watermark_key) < 16:
        found.append(Problem("watermark.key", "the watermark key is shorter than 16 bytes", "run `memorial init`"))
    if found:
        raise InputRefused(found)
    return aigc.first_label(request.producer_code, request.content_id)


def _require(verification: FilmVerification, path: Path, made: Mapping[str, Any]) -> None:
    missing = list(verification.missing)
    with films.opened(path) as container:
        languages = len(container.streams.subtitles)
    if languages != len(made["subtitles"]):
        missing.append("subtitles")
    if missing:
        details = "; ".join(f"{name}: {getattr(verification, name).detail}" for name in missing if name != "subtitles")
        raise IntegrityError(
            f"the sealed film lacks {', '.join(missing)}",
            where=details,
            remedy="the film was not written; tell an engineer",
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Pass:
    """The one decode and encode pass."""

    def __init__(
        self,
        container: Any,
        encoded: Path,
        request: SealRequest,
        key: aigc.AigcLabel,
        assets: Path,
        watermark_key: bytes,
        progress: Callable[[float, str], None],
        stereo: bool = False,
    ) -> None:
        self._in, self._request, self._progress = container, request, progress
        self._video = container.streams.video[0]
        self._video.thread_type = "AUTO"
        self._audio = container.streams.audio[0] if container.streams.audio else None
        context = self._video.codec_context
        self._width, self._height = context.width, context.height
        if self._width % 2 or self._height % 2 or min(self._width, self._height) < 240:
            raise films.refuse("the picture must have even sides of at least 240 px")
        self._fps = Fraction(self._video.average_rate or 25).limit_denominator(1001)
        layout = label.stereo_layout if stereo else label.layout
        self._plan = layout(assets, self._width, self._height, request.content_id)
        self._labeller = label.Labeller(self._plan)
        payload = watermark.payload_of(request.content_id)
        self._embed = watermark.Embedder(watermark_key, payload, self._width, self._height)
        self._lead = math.ceil(label.OPENING_S * self._fps)
        self._tail = math.ceil(label.ENDING_S * self._fps)
        self._delay = self._lead / self._fps  # exact seconds by which everything moves
        self._out = self._open(encoded, key)
        self._embed_sound = sound_mark.SoundEmbedder(watermark_key, payload)
        self._next, self._samples, self._written, self._errors = 0, 0, 0, [0.0, 0]
        self._last: NDArray[np.uint8] | None = None
        self._heard = False

    def _open(self, path: Path, key: aigc.AigcLabel) -> Any:
        # faststart for players, use_metadata_tags because without it the AIGC key is silently not written.
        out = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart+use_metadata_tags"})
        out.metadata[aigc.KEY] = key.as_json()
        options = {"preset": _PRESET, "crf": _CRF, "g": str(round(self._fps * _KEYFRAME_S))}
        picture = out.add_stream("libx264", rate=self._fps, options=options)
        picture.width, picture.height, picture.pix_fmt = self._width, self._height, "yuv420p"
        context, original = picture.codec_context, self._video.codec_context
        context.thread_count = 0
        context.time_base = 1 / self._fps
        context.color_range = 1  # limited
        for name in ("colorspace", "color_primaries", "color_trc"):
            value = int(getattr(original, name) or 2)
            setattr(context, name, 1 if value == 2 else value)  # unspecified becomes BT.709
        sound = out.add_stream("aac", rate=RATE, layout="stereo")
        sound.bit_rate = 192_000
        self._picture, self._sound = picture, sound
        self._texts: list[tuple[Any, list[subtitles.Cue]]] = []
        for tag, file in self._request.subtitles.items():
            stream = out.add_mux_stream("mov_text")
            stream.time_base = Fraction(1, 1000)
            stream.metadata["language"] = subtitles.ISO_639_2.get(tag[:2], "und")
            stream.metadata["handler_name"] = tag
            self._texts.append((stream, subtitles.read_srt(file, round(self._delay * 1000))))
        return out

    def run(self) -> dict[str, Any]:
        with self._out:
            self._out.start_encoding()
            self._mux_texts()
            streams = [self._video] + ([self._audio] if self._audio else [])
            total = max(films.duration(self._in), 0.04)
            resampler = av.AudioResampler(format="fltp", layout="stereo", rate=RATE)
            for packet in self._in.demux(streams):
                for frame in packet.decode():
                    if isinstance(frame, av.VideoFrame):
                        self._film(frame)
                        if self._next % 25 == 0:
                            done = min(1.0, (self._next - self._lead) / float(self._fps) / total)
                            self._progress(0.02 + 0.84 * done, "labelling and encoding")
                    else:
                        self._hear(frame, resampler)
            return self._finish(resampler)

    def _mux_texts(self) -> None:
        for stream, cues in self._texts:
            for cue in cues:
                packet = av.Packet(cue.packet())
                packet.stream, packet.time_base = stream, Fraction(1, 1000)
                packet.pts = packet.dts = cue.start
                packet.duration = cue.end - cue.start
                packet.is_keyframe = True
                self._out.mux(packet)

    # -- picture

    def _film(self, frame: Any) -> None:
        if frame.format.name != "yuv420p" or frame.color_range == 2:
            frame = frame.reformat(format="yuv420p", dst_color_range=1)
        planes = frame.to_ndarray(format="yuv420p")
        if self._last is None:
            card = self._labeller.opening(planes, self._lead, float(self._fps))
            self._notice()
            for index in range(len(card)):
                self._show(card[index], index)
        at = self._lead + round((frame.time or 0.0) * self._fps)
        self._last = planes
        if at >= self._next:
            self._show(planes.copy(), at)

    def _show(self, planes: NDArray[np.uint8], at: int) -> None:
        self._labeller.corner(planes)
        luma = planes[: self._height]
        marked = self._embed(luma)
        if at % 25 == 0:
            self._errors[0] += float(cv2.norm(marked, luma, cv2.NORM_L2SQR)) / luma.size
            self._errors[1] += 1
        planes[: self._height] = marked
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = at, 1 / self._fps
        self._next = at + 1
        for packet in self._picture.encode(frame):
            self._out.mux(packet)

    # -- sound

    def _hear(self, frame: Any, resampler: Any) -> None:
        self._notice()
        if not self._heard:
            self._heard = True
            offset = round(min(frame.time or 0.0, films.duration(self._in)) * RATE)  # sound that begins later
            for start in range(0, offset, RATE):
                self._play(np.zeros(min(RATE, offset - start), np.float32))
        for piece in resampler.resample(frame):
            self._play(piece.to_ndarray())

    def _notice(self) -> None:
        """The sound of the opening card, once, before anything else is heard."""
        if not self._samples:
            self._play(label.opening_sound(RATE, float(self._delay)))

    def _play(self, sound: NDArray[np.float32]) -> None:
        """Encode sound: mono [N] or stereo [2, N]."""
        stereo = np.ascontiguousarray(np.broadcast_to(sound, (2, sound.shape[-1])), dtype=np.float32)
        if not stereo.shape[1]:
            return
        self._samples += stereo.shape[1]
        self._encode_sound(self._embed_sound(stereo))

    def _encode_sound(self, marked: NDArray[np.float32]) -> None:
        if not marked.shape[1]:
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(marked), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._written, Fraction(1, RATE)
        self._written += marked.shape[1]
        for packet in self._sound.encode(frame):
            self._out.mux(packet)

    # -- end

    def _finish(self, resampler: Any) -> dict[str, Any]:
        if self._last is None:
            raise films.refuse("the film has no frame that can be decoded")
        if self._audio:
            for piece in resampler.resample(None):
                self._play(piece.to_ndarray())
        card = self._labeller.ending(self._last, self._tail, float(self._fps))
        first = self._next
        for index in range(len(card)):
            self._show(card[index], first + index)
        missing = round(self._next / self._fps * RATE) - self._samples
        for start in range(0, max(0, missing), RATE):
            self._play(np.zeros(min(RATE, missing - start), np.float32))
        self._encode_sound(self._embed_sound.flush())
        for stream in (self._picture, self._sound):
            for packet in stream.encode(None):
                self._out.mux(packet)
        noise = self._errors[0] / max(1, self._errors[1])
        short = self._plan.edge
        return {
            "width": self._width,
            "height": self._height,
            "fps": float(self._fps),
            "duration": float(self._next / self._fps),
            "lead_in": float(self._delay),
            "tail": float(self._tail / self._fps),
            "frames": self._next,
            "corner_ink": self._plan.corner.ink / short,
            "card_ink": min(line.ink for line in self._plan.opening) / short,
            "watermark_psnr": 10 * math.log10(255**2 / noise) if noise else math.inf,
            "subtitles": tuple(self._request.subtitles),
        }
