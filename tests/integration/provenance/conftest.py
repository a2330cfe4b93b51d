"""A small generated film and its sealed form, made once."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from memorial_tasks.provenance import aigc, authority, label
from memorial_tasks.provenance.seal import SealReport, SealRequest, seal_film
from memorial_tasks.provenance.verify import FilmVerification, verify_film
from memorial_tasks.settings import Settings

KEY = bytes(range(32))
SIZE, FPS, SECONDS = (960, 540), 25, 4


@dataclass(frozen=True)
class Bench:
    """Everything a test needs to seal and verify."""

    folder: Path
    assets: Path
    credential: authority.StoredCredential
    film: Path
    sealed: Path
    report: SealReport
    request: SealRequest
    key: bytes = KEY

    def seal(self, name: str, source: Path | None = None, **changes: Any) -> SealReport:
        request = SealRequest(**{**self.request.__dict__, **changes})
        return seal_film(
            source or self.film,
            self.folder / name,
            request,
            assets=self.assets,
            signing=self.credential,
            watermark_key=KEY,
        )

    def verify(self, path: Path, **changes: Any) -> FilmVerification:
        given = {"anchors_pem": self.credential.anchors_pem, "watermark_key": KEY, "assets": self.assets, **changes}
        return verify_film(path, **given)


def write_film(
    path: Path,
    seconds: float = SECONDS,
    *,
    sound: bool = True,
    fps: int = FPS,
    size: tuple[int, int] = SIZE,
    **metadata: str,
) -> Path:
    """A moving generated picture with a humming sound."""
    width, height = size
    rng = np.random.default_rng(2)
    base = cv2.GaussianBlur(rng.normal(0, 1, (height + 60, width + 60, 3)).astype(np.float32), (0, 0), 9)
    base = cv2.normalize(base, None, 30, 225, cv2.NORM_MINMAX).astype(np.uint8)
    with av.open(str(path), "w", format="mp4", options={"movflags": "+use_metadata_tags"}) as out:
        out.metadata.update(metadata)
        picture = out.add_stream("libx264", rate=fps, options={"crf": "14", "preset": "ultrafast"})
        picture.width, picture.height, picture.pix_fmt = width, height, "yuv420p"
        hum = out.add_stream("aac", rate=48000, layout="stereo") if sound else None
        count = 48000 // fps
        for index in range(round(seconds * fps)):
            at = index % 50
            image = np.ascontiguousarray(base[at : at + height, at : at + width])
            out.mux(picture.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            if hum:
                t = (np.arange(count) + index * count) / 48000
                wave = (0.1 * np.sin(2 * np.pi * 220 * t) * (1 + np.sin(2 * np.pi * 3 * t))).astype(np.float32)
                frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
                frame.sample_rate, frame.pts, frame.time_base = 48000, index * count, Fraction(1, 48000)
                out.mux(hum.encode(frame))
        for stream in (picture, hum) if hum else (picture,):
            out.mux(stream.encode(None))
    return path


def remux(source: Path, target: Path, flags: str = "+faststart", *, keep: bool = True) -> Path:
    """Copy the streams into a new file, as any tool would: the manifest is gone, the AIGC key with it unless asked."""
    with av.open(str(source)) as given, av.open(str(target), "w", format="mp4", options={"movflags": flags}) as out:
        if keep:
            out.metadata.update({name: text for name, text in given.metadata.items() if name == aigc.KEY})
        streams = {s.index: out.add_stream_from_template(s) for s in given.streams if s.type in ("video", "audio")}
        for packet in given.demux([given.streams[index] for index in streams]):
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                out.mux(packet)
    return target


def reencode(source: Path, target: Path, change: Callable[[np.ndarray], np.ndarray], crf: int = 20) -> Path:
    """Decode, change every picture, encode; sound copied; metadata kept."""
    flags = {"movflags": "+use_metadata_tags"}
    with av.open(str(source)) as given, av.open(str(target), "w", format="mp4", options=flags) as out:
        out.metadata.update({name: text for name, text in given.metadata.items() if name == aigc.KEY})
        picture = given.streams.video[0].codec_context
        shape = change(np.zeros((picture.height, picture.width, 3), np.uint8)).shape
        stream = out.add_stream("libx264", rate=FPS, options={"crf": str(crf), "preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = *shape[:2], "yuv420p"
        copied = out.add_stream_from_template(given.streams.audio[0])
        for packet in given.demux(given.streams.video[0], given.streams.audio[0]):
            if packet.stream.type == "audio":
                if packet.dts is not None:
                    packet.stream = copied
                    out.mux(packet)
                continue
            for frame in packet.decode():
                image = np.ascontiguousarray(change(frame.to_ndarray(format="rgb24")))
                out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))
    return target


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    assets = Settings().assets_dir
    if not (assets / label.FONT).is_file():
        pytest.skip("the fonts are not set up: run `make setup`")
    folder = tmp_path_factory.mktemp("films")
    film = write_film(folder / "film.mp4", AIGC='{"Label":"3","from":"material"}')
    subtitles = {}
    for tag, text in (("zh-CN", "湖边的早晨"), ("en-US", "Morning by the lake")):
        subtitles[tag] = folder / f"{tag}.srt"
        subtitles[tag].write_text(f"1\n00:00:00,500 --> 00:00:02,000\n{text}\n", encoding="utf-8")
    credential = authority.create_authority(folder / "ca")
    request = SealRequest(
        content_id="MS-order-1",
        producer_code=aigc.PLACEHOLDER_PRODUCER,
        consent_ref="consent-7",
        purpose="family_private",
        audit_ref="audit-3",
        created_at=datetime(2026, 11, 20, tzinfo=UTC),
        subtitles=subtitles,
    )
    sealed = folder / "sealed.mp4"
    report = seal_film(film, sealed, request, assets=assets, signing=credential, watermark_key=KEY)
    return Bench(folder, assets, credential, film, sealed, report, request)


@pytest.fixture(scope="session")
def tools() -> Any:
    """`write_film`, `remux` and `reencode` for the tests."""

    class Tools:
        write_film = staticmethod(write_film)
        remux = staticmethod(remux)
        reencode = staticmethod(reencode)

    return Tools
