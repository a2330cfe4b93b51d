"""Sound as arrays: reading, resampling, cleaning, loudness, and a picture of it. Mono float32 in [-1, 1] throughout."""

from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy import signal

from memorial_tasks.errors import InputRefused, Problem

RATE = 24000  # Hz: the rate of every master, model and film speech track of this room
Wave = NDArray[np.float32]


def read_wave(path: Path, rate: int = RATE) -> Wave:
    """The file as mono float32 at `rate` Hz. Raises `InputRefused` for a file that is no sound."""
    try:
        data, source_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        problem = Problem(
            "voice.unreadable", "the sound file cannot be read", "give a WAV or FLAC file", file=path.name
        )
        raise InputRefused([problem]) from error
    return resample(np.nan_to_num(data.mean(axis=1)), int(source_rate), rate)


def write_wave(path: Path, wave: Wave, rate: int = RATE) -> None:
    """Write mono PCM16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.clip(wave, -1.0, 1.0), rate, subtype="PCM_16")


def resample(wave: Wave, source: int, target: int) -> Wave:
    """`wave` at `target` Hz."""
    if source == target or wave.size == 0:
        return wave.astype(np.float32)
    return np.asarray(soxr.resample(wave, source, target), np.float32)


def hum_frequency(wave: Wave, rate: int) -> float:
    """50.0 or 60.0 when mains hum stands at least 10 dB out of its surroundings in the quiet parts, else 0.0."""
    size = rate  # 1 Hz resolution
    if wave.size < 2 * size:
        return 0.0
    frames = signal.stft(wave, rate, nperseg=size, noverlap=size // 2, boundary=None, padded=False)[2]
    power = np.abs(frames) ** 2
    quiet = power[:, np.argsort(power.sum(axis=0))[: max(1, power.shape[1] // 3)]].mean(axis=1) + 1e-20
    best, best_excess = 0.0, 10.0
    for base in (50, 60):
        excess = []
        for harmonic in (1, 2, 3):
            centre = base * harmonic
            around = np.r_[quiet[centre - 9 : centre - 3], quiet[centre + 4 : centre + 10]]
            excess.append(10 * np.log10(quiet[centre - 1 : centre + 2].max() / np.median(around)))
        if float(np.mean(sorted(excess)[1:])) > best_excess:
            best, best_excess = float(base), float(np.mean(sorted(excess)[1:]))
    return best


def clean(wave: Wave, rate: int = RATE) -> Wave:
    """Remove rumble below the voice (4th order high-pass at 60 Hz) and mains hum with its harmonics where found."""
    if wave.size < rate // 10:
        return wave
    hum = hum_frequency(wave, rate)
    out = signal.sosfiltfilt(signal.butter(4, 60, "highpass", fs=rate, output="sos"), wave)
    if hum:
        for harmonic in range(1, 7):
            b, a = signal.iirnotch(hum * harmonic, 40.0, fs=rate)
            out = signal.filtfilt(b, a, out)
    return np.asarray(out, np.float32)


def loudness(wave: Wave, rate: int = RATE) -> float:
    """Integrated loudness in LUFS (ITU-R BS.1770); -inf for silence."""
    import pyloudnorm

    if wave.size < int(0.41 * rate):
        wave = np.pad(wave, (0, int(0.41 * rate) - wave.size))
    with np.errstate(divide="ignore"):
        return float(pyloudnorm.Meter(rate).integrated_loudness(wave.astype(np.float64)))


def set_loudness(wave: Wave, target: float = -23.0, rate: int = RATE, peak: float = 0.89) -> Wave:
    """`wave` at `target` LUFS; peaks above `peak` (-1 dBFS) are bent softly, not cut."""
    now = loudness(wave, rate)
    if not np.isfinite(now):
        return wave
    return soft_limit(wave * np.float32(10 ** ((target - now) / 20)), peak)


def soft_limit(wave: Wave, peak: float = 0.89) -> Wave:
    """Bend everything above 0.8 of `peak` so that nothing exceeds `peak`."""
    knee = 0.8 * peak
    size = np.abs(wave)
    bent = knee + (peak - knee) * np.tanh((size - knee) / (peak - knee))
    return np.where(size > knee, np.sign(wave) * bent, wave).astype(np.float32)


def frame_levels(wave: Wave, rate: int, window: float = 0.02, hop: float = 0.01) -> NDArray[np.float32]:
    """RMS level of each frame in dBFS, float32 [frames]."""
    size, step = int(window * rate), int(hop * rate)
    if wave.size < size:
        wave = np.pad(wave, (0, size - wave.size))
    frames = np.lib.stride_tricks.sliding_window_view(wave, size)[::step]
    return np.asarray(10 * np.log10((frames.astype(np.float64) ** 2).mean(axis=1) + 1e-12), np.float32)


def spectrogram_png(path: Path, waves: list[Wave], rate: int = RATE) -> None:
    """Draw one spectrogram strip per wave (0..8 kHz, 70 dB range, 10 ms a pixel), one above the other."""
    from PIL import Image

    strips = []
    width = min(1600, max(200, *(wave.size // (rate // 100) for wave in waves)) if waves else 200)
    for wave in waves:
        power = np.abs(signal.stft(wave, rate, nperseg=512, noverlap=512 - rate // 100, nfft=1024)[2]) ** 2
        level = 10 * np.log10(power[: int(8000 / (rate / 1024))] + 1e-12)
        shade = np.clip((level - level.max() + 70) / 70, 0, 1)[::-1, :width]
        strip = np.ones((shade.shape[0] + 6, width), np.float64)
        strip[: shade.shape[0], : shade.shape[1]] = 1 - shade
        strips.append(strip)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.vstack(strips or [np.ones((10, width))]) * 255).astype(np.uint8)).save(path)
