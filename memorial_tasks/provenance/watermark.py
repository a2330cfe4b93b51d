"""An imperceptible watermark in the luma of every frame: keyed, direct-sequence spread spectrum.

A square tile of 128 x 128 chips (4 px each at a short edge of 1080) is repeated over the frame. A quarter of the chips
is a pilot known from the key alone, by which the detector finds scale and offset (crops) and proves presence; the
others carry 48 bits: 32 of sha256(content id) and a CRC-16 over them. The pattern is the same on every frame, so that
cutting, dropping and re-timing frames does not hurt it, and embedding is one multiply and one add.

Presence is decided on z = sum(v * p) / sqrt(sum(v^2)), where v are the measured chips and p the keyed signs. Without
the mark p is independent of v, so z is standard normal whatever the film shows: the false-positive rate follows from
the threshold (`false_positive_rate`), not from a calibration set.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

SHORT_EDGE = 1080  # the pattern is laid out at this size of the shorter edge and scaled with the film
CHIP = 4
GRID = 128
TILE = CHIP * GRID
BITS = 48  # 32 of the payload, 16 of its CRC
PILOT_SHARE = 4  # one chip in four
STRENGTH = 1.75  # luma levels at gain 1
FLAT, BUSY = 44, 96  # gain in flat and in busy places, 64 is 1
_USUAL_EDGES = (2160, 1440, 1080, 900, 720, 576, 540, 480, 360)
Z_ALIGNED = 6.0  # presence at the expected place: 1e-9 for one try
Z_SEARCHED = 8.5  # presence after a search over offsets and scales: 1e-17 a try

Luma = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Mark:
    """What the detector found. `payload` is None unless the CRC agrees; `z` the pilot's statistic, `bit_margin` the
    smallest of the 48 bit statistics (in standard deviations), `scale` and `offset` where the pattern was found.
    `match` is the statistic of all 48 bits against the payload that was expected: it answers for a film too damaged for
    every single bit to be read."""

    present: bool
    payload: int | None
    z: float
    bit_margin: float
    scale: float = 1.0
    offset: tuple[int, int] = (0, 0)
    match: float = 0.0

    def belongs(self, payload: int) -> bool:
        """True when the mark is that of `payload` (which must be the one given to `Detector.result`).

        The payload bits hold three times the pilot's chips, so the true payload gives about sqrt(3) times its z. Three
        quarters of that means at most 6 of 48 bits wrong, which another payload reaches with probability 5e-8.
        """
        if self.payload is not None:
            return self.payload == payload
        return self.present and self.match >= max(Z_ALIGNED, 0.75 * math.sqrt(3) * self.z)


def payload_of(content_id: str) -> int:
    """The 32 bits that stand for a content id. The id itself cannot be read back from the film."""
    return int.from_bytes(hashlib.sha256(b"memorial-film\0" + content_id.encode()).digest()[:4], "big")


def false_positive_rate(z: float, tries: int = 1) -> float:
    """Probability that an unmarked film reaches `z` in one of `tries` places (upper bound)."""
    return min(1.0, tries * 0.5 * math.erfc(z / math.sqrt(2)))


def _crc16(value: int) -> int:
    """CRC-16/CCITT-FALSE over the four payload bytes."""
    crc = 0xFFFF
    for byte in value.to_bytes(4, "big"):
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def _word(payload: int) -> NDArray[np.int8]:
    """The 48 bits as +-1, most significant first."""
    word = (payload << 16) | _crc16(payload)
    return np.array([1 if word >> (BITS - 1 - i) & 1 else -1 for i in range(BITS)], dtype=np.int8)


@dataclass(frozen=True)
class Code:
    """Keyed signs and the bit each chip serves; -1 is the pilot. Both int8, of the shape asked for."""

    signs: NDArray[np.int8]
    owner: NDArray[np.int8]

    def carrying(self, payload: int) -> NDArray[np.int8]:
        """The signs with the payload's bits on them."""
        bits = np.append(_word(payload), np.int8(1))  # owner -1 picks the last: the pilot
        return (self.signs * bits[self.owner]).astype(np.int8)

    def read(self, chips: Floats, expected: int | None) -> tuple[float, int | None, float, float]:
        """Pilot z, payload (None unless its CRC agrees), smallest bit statistic and match of measured chips."""
        value = chips * self.signs
        owner = self.owner.ravel() + 1
        total = np.bincount(owner, value.ravel(), BITS + 1)
        energy = np.bincount(owner, (value**2).ravel(), BITS + 1)
        z = total / np.sqrt(energy + 1e-12)
        word = 0
        for bit in z[1:] > 0:
            word = word << 1 | int(bit)
        payload = word >> 16
        match = 0.0
        if expected is not None:
            match = float(total[1:] @ _word(expected) / np.sqrt(energy[1:].sum() + 1e-12))
        agrees = _crc16(payload) == word & 0xFFFF
        return float(z[0]), payload if agrees else None, float(np.abs(z[1:]).min()), match


def keyed_code(key: bytes, shape: tuple[int, int], domain: bytes) -> Code:
    """The code of a key. SHAKE-256 alone decides it, so that it is the same on every machine for ever."""
    if len(key) < 16:
        raise ValueError("the watermark key must have at least 16 bytes")
    count = shape[0] * shape[1]
    stream = hashlib.shake_256(domain + b"\0" + key).digest(count // 8 + 8 * count)
    signs = np.unpackbits(np.frombuffer(stream[: count // 8], np.uint8)).astype(np.int8) * 2 - 1
    order = np.argsort(np.frombuffer(stream[count // 8 :], "<u8"), kind="stable")
    owner = np.empty(count, np.int8)
    pilots = count // PILOT_SHARE
    owner[order[:pilots]] = -1
    owner[order[pilots:]] = np.arange(count - pilots) % BITS
    return Code(signs.reshape(shape), owner.reshape(shape))


def _code(key: bytes) -> Code:
    return keyed_code(key, (GRID, GRID), b"memorial-watermark-1")


def _shape(chips: NDArray[np.int8] | Floats) -> Floats:
    """Chips as a smooth tile [TILE, TILE] that joins itself at every edge."""
    wide = np.kron(np.asarray(chips, np.float32), np.ones((CHIP, CHIP), np.float32))
    padded: Floats = np.pad(wide, 8, mode="wrap")
    return cv2.GaussianBlur(padded, (0, 0), CHIP * 0.3)[8:-8, 8:-8].astype(np.float32)


def pattern(key: bytes, payload: int, width: int, height: int) -> Floats:
    """The pattern to add to a frame, float32 [height, width], about +-1."""
    tile = _shape(_code(key).carrying(payload))
    scale = min(width, height) / SHORT_EDGE
    wide, high = math.ceil(width / scale) + 2, math.ceil(height / scale) + 2
    sheet = np.tile(tile, (high // TILE + 1, wide // TILE + 1))[:high, :wide]
    if scale == 1.0:
        return np.ascontiguousarray(sheet[:height, :width])
    # Pixel centres stay in place: the detector resizes whole frames back to a short edge of 1080.
    matrix = np.array([[1 / scale, 0, 0.5 / scale - 0.5], [0, 1 / scale, 0.5 / scale - 0.5]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    if scale < 1:
        sheet = cv2.GaussianBlur(sheet, (0, 0), 0.4 / scale).astype(np.float32)
    warped = cv2.warpAffine(sheet, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT)
    return warped.astype(np.float32)


class Embedder:
    """Adds the mark to luma planes of one size, stronger where the picture hides it (texture)."""

    def __init__(self, key: bytes, payload: int, width: int, height: int, strength: float = STRENGTH) -> None:
        self._size = (width, height)
        self._small = (max(1, width // 8), max(1, height // 8))
        self._pattern = np.round(pattern(key, payload, width, height) * 64 * strength).astype(np.int16)

    def __call__(self, luma: Luma) -> Luma:
        """The marked plane, uint8 [height, width]; about 5 ms at 1080p."""
        small = cv2.resize(luma, self._small, interpolation=cv2.INTER_AREA)
        rough = cv2.absdiff(small, cv2.blur(small, (5, 5)))
        # Texture hides the mark, so it is stronger there; linear in the mean deviation between flat and busy.
        gain = cv2.blur(cv2.convertScaleAbs(rough, alpha=10.0, beta=FLAT), (5, 5))
        gain = np.minimum(gain, BUSY)
        full = cv2.resize(gain, self._size, interpolation=cv2.INTER_LINEAR).astype(np.int16)
        change = cv2.multiply(self._pattern, full, scale=1 / 4096)
        return cv2.add(luma, change, dtype=cv2.CV_8U).astype(np.uint8, copy=False)


class Detector:
    """Gathers frames, then answers once. Frames may have any size; all of one film must share one."""

    def __init__(self, key: bytes) -> None:
        self._code = _code(key)
        self._sum: Floats | None = None
        self.frames = 0

    def add(self, luma: Luma) -> None:
        """Take in one frame's luma, uint8 [height, width]."""
        white = _whiten(luma.astype(np.float32), min(luma.shape) / SHORT_EDGE)
        if self._sum is None:
            self._sum = white
        elif self._sum.shape == white.shape:
            self._sum += white
        else:
            return
        self.frames += 1

    def result(self, expected: int | None = None, *, search: bool = True, deep: bool = False) -> Mark:
        """Look at the expected place, then, if `search`, for a cut copy at the ordinary scales (half a second), then,
        if `deep`, at every scale from half to almost twice (some seconds): a copy that was zoomed or framed.

        With an `expected` payload `match` is filled in and a damaged mark can still be told to belong.
        """
        if self._sum is None:
            return Mark(False, None, 0.0, 0.0)
        height, width = self._sum.shape
        scale = min(width, height) / SHORT_EDGE
        best = self._decode(_fold(self._sum, scale), Z_ALIGNED, scale, (0, 0), expected)
        if best.payload is not None or not search or (expected is not None and best.belongs(expected)):
            return best
        for reach in (False, True) if deep else (False,):
            for tile, found, offset in self._search(scale, deep=reach):
                mark = self._decode(tile, Z_SEARCHED, found, offset, expected)
                if (mark.payload is not None, mark.z) > (best.payload is not None, best.z):
                    best = mark
            if best.present:
                break
        return best

    def _decode(
        self, tile: Floats, threshold: float, scale: float, offset: tuple[int, int], expected: int | None
    ) -> Mark:
        chips = tile.reshape(GRID, CHIP, GRID, CHIP).mean(axis=(1, 3))
        z, payload, margin, match = self._code.read(chips, expected)
        present = z >= threshold
        return Mark(present, payload if present else None, z, margin, scale, offset, match)

    def _search(self, scale: float, *, deep: bool) -> Iterator[tuple[Floats, float, tuple[int, int]]]:
        white = self._sum
        if white is None:
            return
        pilot = _shape(self._code.signs * (self._code.owner == -1))
        spectrum = np.conj(np.fft.rfft2(pilot))

        def surface(tile: Floats) -> Floats:
            return np.fft.irfft2(np.fft.rfft2(tile) * spectrum, s=(TILE, TILE)).astype(np.float32)

        def best(candidates: Iterable[float], inside: int = 0) -> list[float]:
            peaks = []
            for candidate in candidates:
                found = surface(_fold(_middle(white, round(inside * candidate)) if inside else white, candidate))
                peaks.append((float(found.max() / (found.std() + 1e-9)), candidate))
            return [candidate for _, candidate in sorted(peaks, reverse=True)[:3]]

        step = 2.0 / max(white.shape)  # the pattern must stay in step over the whole frame
        if deep:
            # Two tiles each way bear a coarser grid than the whole frame; then finer around the best of it.
            grid = np.geomspace(0.5 * scale, 1.8 * scale, 366)
            chosen = best(c * (1 + step * i / 2) for c in best(grid, 2 * TILE) for i in range(-5, 6))
        else:
            usual = (edge / SHORT_EDGE for edge in _USUAL_EDGES)
            chosen = best([*usual, *(scale * (1 + step * i) for i in range(-20, 21))])
        for candidate in chosen:
            tile = _fold(white, candidate)
            y, x = divmod(int(surface(tile).argmax()), TILE)
            yield np.roll(tile, (-y, -x), (0, 1)), candidate, (x, y)


def _middle(white: Floats, side: int) -> Floats:
    height, width = white.shape
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return white[top : top + side, left : left + side]


def _whiten(luma: Floats, scale: float) -> Floats:
    """What the picture cannot predict: the detail, levelled to the same strength everywhere and clipped."""
    fine = cv2.GaussianBlur(luma, (0, 0), max(0.5, 0.9 * scale)) - cv2.GaussianBlur(luma, (0, 0), max(1.2, 4.0 * scale))
    side = max(3, round(24 * scale))
    level = np.sqrt(np.maximum(cv2.blur(fine * fine, (side, side)), 0)) + 0.35
    white: Floats = np.clip(fine / level, -2, 2).astype(np.float32)
    return white


def _fold(white: Floats, scale: float) -> Floats:
    """All repetitions of the tile laid on each other, float32 [TILE, TILE]."""
    if scale != 1.0:
        size = (round(white.shape[1] / scale), round(white.shape[0] / scale))
        flags = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
        white = cv2.resize(white, size, interpolation=flags).astype(np.float32)
    height, width = white.shape
    padded = np.zeros((-(-height // TILE) * TILE, -(-width // TILE) * TILE), np.float32)
    padded[:height, :width] = white
    tile: Floats = padded.reshape(-1, TILE, padded.shape[1] // TILE, TILE).sum(axis=(0, 2), dtype=np.float32)
    return tile
