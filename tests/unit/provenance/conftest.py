import io
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from memorial_tasks.provenance import label
from memorial_tasks.settings import Settings


@pytest.fixture(scope="session")
def assets() -> Path:
    folder = Settings().assets_dir
    if not (folder / label.FONT).is_file():
        pytest.skip("the fonts are not set up: run `make setup`")
    return folder


@pytest.fixture(scope="session")
def recode() -> Callable[..., list[np.ndarray]]:
    """Luma planes through libx264 and back, optionally at another size or cut."""

    def run(
        planes: Sequence[np.ndarray], crf: int, size: tuple[int, int] | None = None, cut: tuple[int, int] = (0, 0)
    ) -> list[np.ndarray]:
        buffer = io.BytesIO()
        with av.open(buffer, "w", format="mp4") as out:
            stream = None
            for plane in planes:
                plane = np.ascontiguousarray(plane[cut[1] :, cut[0] :])
                if size:
                    plane = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
                if stream is None:
                    stream = out.add_stream("libx264", rate=25, options={"crf": str(crf), "preset": "veryfast"})
                    stream.width, stream.height, stream.pix_fmt = plane.shape[1], plane.shape[0], "gray"
                out.mux(stream.encode(av.VideoFrame.from_ndarray(plane, format="gray")))
            out.mux(stream.encode(None))
        buffer.seek(0)
        with av.open(buffer) as container:
            return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]

    return run


@pytest.fixture(scope="session")
def scene() -> np.ndarray:
    """A generated 1080p picture with flat, smooth and busy parts, uint8 [1080, 1920]."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[0:1080, 0:1920].astype(np.float32)
    picture = 70 + 60 * x / 1920 + 30 * np.sin(y / 170)
    for sigma, strength in ((40, 40), (9, 22), (2.5, 12)):
        rough = cv2.GaussianBlur(rng.normal(0, 1, (1080, 1920)).astype(np.float32), (0, 0), sigma)
        picture += strength * rough / rough.std() * (x > 640)
    cv2.circle(picture, (420, 560), 240, 190, -1)
    return np.clip(picture, 16, 235).astype(np.uint8)


@pytest.fixture
def tiny_mp4(tmp_path: Path) -> Callable[..., Path]:
    """A ten-frame MP4, with metadata entries if wished."""

    def make(name: str = "tiny.mp4", flags: str = "+use_metadata_tags", **metadata: str) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w", format="mp4", options={"movflags": flags}) as out:
            out.metadata.update(metadata)
            stream = out.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            for level in range(10):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((240, 320, 3), level * 20, np.uint8))))
            out.mux(stream.encode(None))
        return path

    return make
