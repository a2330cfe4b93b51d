"""What the model predicts: WORLD parameters every 5 ms at 24 kHz.

mel-cepstrum-like coding of the envelope (45), log F0 (interpolated through unvoiced frames), voicing, and 3 bands of
aperiodicity. WORLD: Morise et al. 2016; coding: Morise et al. 2017 (`pyworld.code_spectral_envelope`).
"""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.voice.audio import RATE, Wave

with warnings.catch_warnings():  # pyworld imports pkg_resources only to read its own version
    warnings.simplefilter("ignore")
    import pyworld

FRAME = 0.005  # seconds
HOP = int(RATE * FRAME)
CEPSTRA, BANDS = 45, 3
WIDTH = CEPSTRA + 2 + BANDS  # columns of a frame: cepstra, log F0, voicing, aperiodicity
LF0, VUV = CEPSTRA, CEPSTRA + 1
_FFT = 2048  # 1024 would misread voices below 70 Hz
Frames = NDArray[np.float32]


@dataclass(frozen=True)
class PitchRange:
    """Search limits in Hz for F0."""

    low: float = 65.0
    high: float = 500.0


def pitch_range(waves: list[Wave]) -> PitchRange:
    """Limits around this person's own pitch, from a quick first pass over up to 60 s of speech."""
    values: list[NDArray[np.float64]] = []
    seconds = 0.0
    for wave in waves:
        f0, _ = pyworld.dio(wave.astype(np.float64), RATE, f0_floor=65.0, f0_ceil=500.0, frame_period=10.0)
        values.append(f0[f0 > 0])
        seconds += wave.size / RATE
        if seconds > 60:
            break
    voiced = np.concatenate(values) if values else np.zeros(0)
    if voiced.size < 50:
        return PitchRange()
    middle = float(np.median(voiced))
    return PitchRange(max(55.0, middle * 0.5), min(600.0, middle * 2.2))


def analyse(wave: Wave, pitch: PitchRange, breath: bool = True) -> Frames:
    """float32 [frames, WIDTH] of a wave at 24 kHz. Pitch by DIO and StoneMask: Harvest is 15 times slower and calls a
    tenth more of the frames voiced (measured), which makes consonants buzz. Without `breath` the aperiodicity, two
    thirds of the work, is left at 0 and voicing is the pitch tracker's: enough for generated speech."""
    sound = np.ascontiguousarray(wave, np.float64)
    f0, times = pyworld.dio(sound, RATE, f0_floor=pitch.low, f0_ceil=pitch.high, frame_period=1000 * FRAME)
    f0 = pyworld.stonemask(sound, f0, times, RATE)
    envelope = pyworld.cheaptrick(sound, f0, times, RATE, fft_size=_FFT)
    voiced, bands = f0 > 0, np.zeros((f0.size, BANDS))
    if breath:
        aperiodicity = pyworld.d4c(sound, f0, times, RATE, fft_size=_FFT)
        voiced &= aperiodicity[:, 4] < 0.9
        bands = pyworld.code_aperiodicity(aperiodicity, RATE)[:, :BANDS]
    f0 = np.where(voiced, f0, 0.0)
    coded = pyworld.code_spectral_envelope(np.maximum(envelope, 1e-12), RATE, CEPSTRA)
    return np.hstack([coded, fill_pitch(f0)[:, None], voiced[:, None], bands]).astype(np.float32)


def fill_pitch(f0: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log F0 with unvoiced frames bridged by straight lines; log 150 Hz when nothing is voiced."""
    voiced = np.flatnonzero(f0 > 0)
    if voiced.size == 0:
        return np.full(f0.shape, np.log(150.0))
    return np.interp(np.arange(f0.size), voiced, np.log(f0[voiced]))


def resynthesise(frames: Frames) -> Wave:
    """A wave at 24 kHz from [frames, WIDTH]."""
    values = np.ascontiguousarray(frames, np.float64)
    f0 = np.where(values[:, VUV] > 0.5, np.exp(values[:, LF0]), 0.0)
    envelope = pyworld.decode_spectral_envelope(np.ascontiguousarray(values[:, :CEPSTRA]), RATE, _FFT)
    bands = np.minimum(values[:, CEPSTRA + 2 :], -1e-3)
    bands[f0 == 0] = -1e-3
    aperiodicity = pyworld.decode_aperiodicity(np.ascontiguousarray(bands), RATE, _FFT)
    return np.asarray(pyworld.synthesize(f0, envelope, aperiodicity, RATE, 1000 * FRAME), np.float32)


def cepstral_scale() -> float:
    """Factor from a distance between coded envelopes (first coefficient left out) to dB of mel-cepstral distortion."""
    base = np.zeros((1, CEPSTRA))
    step = base.copy()
    step[0, 7] = 1.0
    spectra = [pyworld.decode_spectral_envelope(np.ascontiguousarray(item), RATE, _FFT)[0] for item in (base, step)]
    change = 10 * np.log10(spectra[1] / spectra[0])
    mel = 1127.01048 * np.log1p(np.linspace(0, RATE / 2, change.size) / 700)
    even = np.interp(np.linspace(0, mel[-1], 400), mel, change)
    return float(np.sqrt((even**2).mean()))
