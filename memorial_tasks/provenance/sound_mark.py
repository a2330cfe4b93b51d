"""The watermark in the sound: the same keyed code, as gains too small to hear.

A voice is worth more to a forger than a picture, and a sound track is easily taken out of a film. So the short-time
spectrum between 600 and 7000 Hz is raised or lowered by `GAIN_DB` in small patches of time and frequency whose signs
the key decides ("patchwork"); the pattern of `SLOTS` patches repeats every 2.7 s. Silence carries nothing, so a film
without sound has no such mark, and its absence alone condemns no film.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.provenance.watermark import Code, Mark, keyed_code

RATE = 48000
GAIN_DB = 0.6  # PESQ of marked speech 4.63 of 4.64; more would flutter on held notes of music
_WINDOW, _HOP = 2048, 1024
_LOW, _HIGH = round(600 * _WINDOW / RATE), round(7000 * _WINDOW / RATE)
_BINS, _FRAMES = 3, 2  # of one patch
_BANDS, SLOTS = (_HIGH - _LOW) // _BINS // 8 * 8, 64
_PERIOD = SLOTS * _FRAMES
_PHASES = 4  # places between two frames that the detector tries
Z_PRESENT = 6.5  # 4e-11 for one place, 2e-8 for the 512 that are tried
_FLOOR = 1e-3  # of a full-scale tone in one bin: what coders throw away is not looked at

Floats = NDArray[np.float32]
_HANN: Floats = np.sqrt(np.hanning(_WINDOW + 1)[:-1]).astype(np.float32)  # analysis and synthesis: they add up to 1


def _code(key: bytes) -> Code:
    return keyed_code(key, (SLOTS, _BANDS), b"memorial-sound-1")


class SoundEmbedder:
    """Marks sound as it streams by. Gives back `DELAY` samples less than it got until `flush`."""

    DELAY = _HOP

    def __init__(self, key: bytes, payload: int) -> None:
        signs = _code(key).carrying(payload).astype(np.float32)
        gains = np.power(10.0, signs * (GAIN_DB / 20))
        full = np.ones((_PERIOD, _WINDOW // 2 + 1))
        full[:, _LOW : _LOW + _BANDS * _BINS] = np.repeat(np.repeat(gains, _BINS, axis=1), _FRAMES, axis=0)
        self._gains = full.astype(np.float32)
        self._held: Floats | None = None  # [channels, n]: not yet transformed
        self._tail: Floats | None = None  # [channels, hop]: half finished
        self._frame = 0
        self._skip = _HOP  # the first half window is before the beginning
        self._owed = 0  # samples taken and not yet given back

    def __call__(self, sound: Floats) -> Floats:
        """Take [channels, n], give what is finished of it, float32 [channels, m]."""
        if self._held is None or self._tail is None:
            self._held = np.zeros((sound.shape[0], _HOP), np.float32)
            self._tail = np.zeros((sound.shape[0], _HOP), np.float32)
        self._held = np.concatenate([self._held, sound], axis=1)
        done = []
        while self._held.shape[1] >= _WINDOW:
            spectrum = np.fft.rfft(self._held[:, :_WINDOW] * _HANN, axis=1)
            changed = np.fft.irfft(spectrum * self._gains[self._frame % _PERIOD], n=_WINDOW, axis=1) * _HANN
            done.append((changed[:, :_HOP] + self._tail).astype(np.float32))
            self._tail = changed[:, _HOP:].astype(np.float32)
            self._held = self._held[:, _HOP:]
            self._frame += 1
        out = np.concatenate(done, axis=1) if done else np.zeros((sound.shape[0], 0), np.float32)
        skipped = min(self._skip, out.shape[1])
        self._skip -= skipped
        self._owed += sound.shape[1] - (out.shape[1] - skipped)
        return out[:, skipped:]

    def flush(self) -> Floats:
        """The rest. The lengths of everything given back add up to the lengths of everything taken."""
        if self._held is None:
            return np.zeros((1, 0), np.float32)
        owed = self._owed
        return self(np.zeros((self._held.shape[0], 3 * _WINDOW), np.float32))[:, :owed]


def detect(sound: Floats, key: bytes, expected: int | None = None) -> Mark:
    """Look for the mark in mono sound at 48 kHz, wherever it was cut; `offset` is the place in samples (its first
    number). A dozen seconds of speech are needed; half of that when the `expected` payload is known, because then
    every patch tells, not only the pilot's quarter."""
    if len(sound) < _WINDOW * 8:
        return Mark(False, None, 0.0, 0.0)
    code = _code(key)
    spectra = [(phase * _HOP // _PHASES, _folded(sound[phase * _HOP // _PHASES :])) for phase in range(_PHASES)]
    mark = _aligned(spectra, code, code.signs * (code.owner == -1), expected)
    if mark.present or expected is None:
        return mark
    known = _aligned(spectra, code, code.carrying(expected), expected)
    return replace(known, present=True) if known.match >= Z_PRESENT + 0.5 else mark


def _aligned(spectra: list[tuple[int, Floats]], code: Code, signs: NDArray[np.int8], expected: int | None) -> Mark:
    """What the code reads at the place where `signs` fit best."""
    spectrum = np.conj(np.fft.rfft(np.repeat(signs, _FRAMES, axis=0).astype(np.float32), axis=0))
    found = []
    for start, folded in spectra:
        surface = np.fft.irfft(np.fft.rfft(folded, axis=0) * spectrum, n=_PERIOD, axis=0).sum(axis=1)
        shift = int(surface.argmax())
        found.append((float(surface[shift] / (np.linalg.norm(folded) + 1e-9)), start, shift, folded))
    _, start, shift, folded = max(found, key=lambda item: item[0])
    chips = np.roll(folded, -shift, axis=0).reshape(SLOTS, _FRAMES, _BANDS).sum(axis=1)
    z, payload, margin, match = code.read(chips, expected)
    present = z >= Z_PRESENT
    return Mark(present, payload if present else None, z, margin, 1.0, (start + shift * _HOP, 0), match)


def _folded(sound: Floats) -> Floats:
    """Levelled log spectrum per band, all periods laid on each other: float32 [_PERIOD, _BANDS]."""
    count = (len(sound) - _WINDOW) // _HOP + 1
    views = np.lib.stride_tricks.sliding_window_view(sound, _WINDOW)[::_HOP][:count]
    bins = slice(_LOW - 4, _LOW + _BANDS * _BINS + 4)
    loud = np.abs(np.fft.rfft(views * _HANN, axis=1)[:, bins]).astype(np.float32)
    level = np.log(loud + _FLOOR)
    # The envelope of speech is smooth beside the patches: take away the mean of 15 bins (350 Hz).
    rough = np.clip(level - _boxed(level, 15), -1.5, 1.5) * (loud > 3 * _FLOOR)
    bands = rough[:, 4 : 4 + _BANDS * _BINS].reshape(count, _BANDS, _BINS).sum(axis=2)
    padded = np.zeros((-(-count // _PERIOD) * _PERIOD, _BANDS), np.float32)
    padded[:count] = bands
    folded: Floats = padded.reshape(-1, _PERIOD, _BANDS).sum(axis=0)
    return folded


def _boxed(values: Floats, width: int) -> Floats:
    """Running mean of odd `width` along the second axis, edges repeated."""
    padded = np.pad(values, ((0, 0), (width // 2 + 1, width // 2)), mode="edge")
    sums = np.cumsum(padded, axis=1, dtype=np.float64)
    return ((sums[:, width:] - sums[:, :-width]) / width).astype(np.float32)
