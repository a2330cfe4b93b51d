"""What the watermark costs, what it survives and how often it lies; how fast films are sealed and verified.

The pictures are photographs that come with scikit-image and generated scenes, 1080p, with grain and some movement. The
opening and end card, on which the mark is easiest to read, are left out. A copy counts as recognised when the mark is
present and belongs to its film (`Mark.belongs`), as read when all 32 bits come out without knowing the film.
"""

import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from memorial_tasks.provenance import aigc, authority, seal, watermark
from memorial_tasks.provenance.verify import verify_film
from memorial_tasks.settings import Settings

WIDTH, HEIGHT, FRAMES = 1920, 1080, 12
KEY = b"\x5a" * 32
Luma = np.ndarray


def scenes() -> Iterator[tuple[str, list[Luma]]]:
    """Six scenes of `FRAMES` luma planes."""
    from skimage import data

    rng = np.random.default_rng(7)
    for name in ("astronaut", "coffee", "chelsea", "rocket"):
        picture = cv2.cvtColor(getattr(data, name)(), cv2.COLOR_RGB2GRAY)
        scale = 1.06 * max(WIDTH / picture.shape[1], HEIGHT / picture.shape[0])
        yield name, _moving(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), rng)
    ramp = np.linspace(60, 190, WIDTH + 60)[None, :] + np.linspace(-30, 30, HEIGHT + 60)[:, None]
    yield "smooth", _moving(ramp.astype(np.float32), rng)
    yield "dim", _moving(ramp.astype(np.float32) * 0.22 + 14, rng)


def _moving(picture: np.ndarray, rng: np.random.Generator) -> list[Luma]:
    planes = []
    for index in range(FRAMES):
        part = picture[index : index + HEIGHT, 2 * index : 2 * index + WIDTH].astype(np.float32)
        planes.append(np.clip(part + rng.normal(0, 1.2, part.shape), 16, 235).astype(np.uint8))
    return planes


def coded(planes: Sequence[Luma], crf: int) -> list[Luma]:
    """Through libx264 veryfast and back."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": str(crf), "preset": "veryfast"})
        stream.height, stream.width = (side // 2 * 2 for side in planes[0].shape)
        stream.pix_fmt, stream.codec_context.thread_count = "gray", 0
        for plane in planes:
            picture = np.ascontiguousarray(plane[: stream.height, : stream.width])
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="gray")))
        out.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer) as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


def _each(change: Callable[[Luma], Luma], crf: int = 23) -> Callable[[list[Luma]], list[Luma]]:
    return lambda planes: coded([change(plane) for plane in planes], crf)


def _scaled(width: int, height: int) -> Callable[[Luma], Luma]:
    return lambda plane: cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)


def _jpeg(plane: Luma) -> Luma:
    return cv2.imdecode(cv2.imencode(".jpg", plane, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_GRAYSCALE)


def _tone(plane: Luma) -> Luma:
    return cv2.LUT(plane, np.clip(255 * (np.arange(256) / 255) ** 0.8 * 0.92 + 8, 0, 255).astype(np.uint8))


def _framed(plane: Luma) -> Luma:
    return cv2.copyMakeBorder(cv2.resize(plane, (1440, 810), interpolation=cv2.INTER_AREA), 135, 135, 240, 240, 0)


def _noisy(plane: Luma) -> Luma:
    return np.clip(plane + np.random.default_rng(1).normal(0, 8, plane.shape), 0, 255).astype(np.uint8)


def _turned(plane: Luma) -> Luma:
    return cv2.warpAffine(plane, cv2.getRotationMatrix2D((960, 540), 1.0, 1.0), (WIDTH, HEIGHT))


ATTACKS: dict[str, tuple[Callable[[list[Luma]], list[Luma]], bool]] = {
    # name: (what happens to the copy, does it take the deep search)
    "none": (lambda planes: planes, False),
    "crf23": (_each(lambda p: p, 23), False),
    "crf28": (_each(lambda p: p, 28), False),
    "crf32": (_each(lambda p: p, 32), False),
    "crf28_720p": (_each(_scaled(1280, 720), 28), False),
    "crf26_480p": (_each(_scaled(854, 480), 26), False),
    "crf26_360p": (_each(_scaled(640, 360), 26), False),
    "one_frame_jpeg60": (lambda planes: [_jpeg(planes[4])], False),
    "cut_10pc": (_each(lambda p: p[108:, 192:]), False),
    "cut_square": (_each(lambda p: p[:, 420:1500]), False),
    "brightness_gamma": (_each(_tone), False),
    "noise_8": (_each(_noisy), False),
    "blur_1.2": (_each(lambda p: cv2.GaussianBlur(p, (0, 0), 1.2)), False),
    "zoom_12pc": (_each(lambda p: _scaled(WIDTH, HEIGHT)(p[58:1022, 103:1817])), True),
    "framed_75pc": (_each(_framed), True),
    "turned_1deg": (_each(_turned), True),
    "mirrored": (_each(lambda p: p[:, ::-1]), True),
}


def _detect(planes: Sequence[Luma], key: bytes, payload: int, deep: bool) -> watermark.Mark:
    detector = watermark.Detector(key)
    for plane in planes[::2]:
        detector.add(plane)
    return detector.result(payload, deep=deep)


def survival() -> dict[str, Any]:
    """PSNR of marking, and for every attack the share of copies recognised and read."""
    psnr, recognised, read, times = [], {name: [] for name in ATTACKS}, {name: [] for name in ATTACKS}, []
    for number, (scene, planes) in enumerate(scenes()):
        payload = watermark.payload_of(f"MS-{scene}-{number}")
        embed = watermark.Embedder(KEY, payload, WIDTH, HEIGHT)
        start = time.perf_counter()
        marked = [embed(plane) for plane in planes]
        times.append((time.perf_counter() - start) / len(planes) * 1000)
        error = np.mean([np.mean((m.astype(np.float32) - p) ** 2) for m, p in zip(marked, planes, strict=True)])
        psnr.append(10 * np.log10(255**2 / error))
        sealed = coded(marked, 19)
        for name, (attack, deep) in ATTACKS.items():
            mark = _detect(attack(sealed), KEY, payload, deep)
            recognised[name].append(mark.belongs(payload))
            read[name].append(mark.payload == payload)
        print(f"  {scene}: {psnr[-1]:.1f} dB", file=sys.stderr)
    return {
        "provenance.video_psnr": round(float(np.mean(psnr)), 2),
        "provenance.video_psnr_worst": round(float(np.min(psnr)), 2),
        "provenance.embed_ms": round(float(np.median(times)), 2),
        "provenance.survival": {name: round(float(np.mean(hits)), 3) for name, hits in recognised.items()},
        "provenance.survival_read": {name: round(float(np.mean(hits)), 3) for name, hits in read.items()},
    }


def false_positives(keys: int = 1000) -> dict[str, Any]:
    """Unmarked and foreign films asked for our mark: how many of them say yes, and how high the statistic came."""
    hits, trials, highest = 0, 0, 0.0
    for number, (_, planes) in enumerate(scenes()):
        foreign = watermark.Embedder(b"\x77" * 32, 7, WIDTH, HEIGHT)(planes[0])
        for plane in (planes[0], foreign):
            detector = watermark.Detector(KEY)
            detector.add(plane)
            for index in range(keys):
                detector._code = watermark._code(b"false" + number.to_bytes(4, "big") + index.to_bytes(8, "big"))
                mark = detector.result(search=index < 2)
                hits, trials = hits + mark.present, trials + 1
                highest = max(highest, mark.z)
    return {
        "provenance.false_positive_rate": hits / trials,
        "provenance.false_positive_trials": trials,
        "provenance.false_positive_highest_z": round(highest, 2),
        "provenance.false_positive_bound": watermark.false_positive_rate(watermark.Z_ALIGNED),
        "provenance.false_positive_bound_searched": watermark.false_positive_rate(
            watermark.Z_SEARCHED, 512 * 512 * 450
        ),
    }


def film(path: Path, seconds: int = 30) -> None:
    """A 1080p film at 25 frames a second with sound."""
    base = cv2.GaussianBlur(np.random.default_rng(3).normal(0, 1, (1200, 2040, 3)).astype(np.float32), (0, 0), 12)
    base = cv2.normalize(base, None, 30, 225, cv2.NORM_MINMAX).astype(np.uint8)
    with av.open(str(path), "w", format="mp4") as out:
        picture = out.add_stream("libx264", rate=25, options={"crf": "12", "preset": "ultrafast"})
        picture.width, picture.height, picture.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        picture.codec_context.thread_count = 0
        hum = out.add_stream("aac", rate=48000, layout="stereo")
        for index in range(seconds * 25):
            at = int(60 + 55 * np.sin(index / 40))
            image = np.ascontiguousarray(base[at : at + HEIGHT, at : at + WIDTH])
            out.mux(picture.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            wave = (0.1 * np.sin(2 * np.pi * 220 * (np.arange(1920) + index * 1920) / 48000)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = 48000, index * 1920, Fraction(1, 48000)
            out.mux(hum.encode(frame))
        for stream in (picture, hum):
            out.mux(stream.encode(None))


def speed() -> dict[str, Any]:
    """Sealing and verifying thirty seconds of 1080p."""
    assets = Settings().assets_dir
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film(folder / "film.mp4")
        credential = authority.create_authority(folder / "ca")
        made = datetime(2026, 1, 1, tzinfo=UTC)
        request = seal.SealRequest(
            "MS-bench", aigc.PLACEHOLDER_PRODUCER, "consent-1", "family_private", "audit-1", made
        )
        start, used = time.perf_counter(), time.process_time()
        report = seal.seal_film(
            folder / "film.mp4",
            folder / "sealed.mp4",
            request,
            assets=assets,
            signing=credential,
            watermark_key=KEY,
        )
        sealed, used = time.perf_counter() - start, time.process_time() - used
        start = time.perf_counter()
        seen = verify_film(folder / "sealed.mp4", anchors_pem=credential.anchors_pem, watermark_key=KEY, assets=assets)
        verified = time.perf_counter() - start
    return {
        "provenance.seal_30s_s": round(sealed, 1),
        "provenance.seal_30s_cpu_s": round(used, 1),
        "provenance.seal_fps": round(report.frames / sealed, 1),
        "provenance.verify_30s_s": round(verified, 2),
        "provenance.verified": seen.verified,
        "provenance.corner_ink": round(report.corner_ink, 4),
        "provenance.card_ink": round(report.card_ink, 4),
    }


def run() -> dict[str, Any]:
    """All figures of the room, under the names of the design."""
    return {**survival(), **false_positives(), **speed()}


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
