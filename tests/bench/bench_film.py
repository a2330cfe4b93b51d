"""The film: do the lips follow the words of a real person, does the picture come fast enough, is the sound right.

Material: ``grid-s1`` (clips with word times) and ``librivox`` (phone times) under MEMORIAL_BENCH_REAL (or
MEMORIAL_REAL, ``../shared/real`` otherwise); neither is part of the repository, and without them only the figures that
need no real person are returned.

- ``film.sync_r``: correlation of the performed mouth opening with the tracked inner-lip gap, mean over clips; word
  times are the corpus's own, phones share their word's time. ``film.sync_r_shifted`` is the broken control (half a
  second off), ``film.sync_r_loudness`` the trivial floor (the sound's envelope instead of a performance).
- ``film.bilabial_closed``: share of m, b and p whose lips meet, seen by the landmark model on rendered pictures;
  ``film.bilabial_closed_score`` the same in the score at 25 pictures a second.
- ``film.fps``: pictures a second through animate and compose at 1080p25, wall clock; ``film.fps_cpu`` what the used CPU
  time allows on this machine's cores when nothing else runs on them.
- ``film.encoder_ratio``: CPU time of bare libx264 at the same preset over that of our writer; ``film.encoder_bare_fps``
  is its wall clock speed in the same run.
- ``film.memory_growth``: peak memory of composing four minutes over that of composing one.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import soundfile
from numpy.typing import NDArray

from memorial_tasks.domain.order import ScriptLine
from memorial_tasks.domain.timing import LEAD_IN, LineTime, PhoneTime, SpeechTiming, WordTime
from memorial_tasks.domain.words import Emotion, Language
from memorial_tasks.performance.direct import direct_script
from memorial_tasks.performance.perform import measure, perform
from memorial_tasks.settings import Settings
from memorial_tasks.steps import animate, compose
from memorial_tasks.steps.contract import StepContext
from memorial_tasks.video.compose import compose_film
from memorial_tasks.video.encode import FilmWriter, facts, pictures
from memorial_tasks.video.loudness import LoudnessMeter, TruePeakMeter

REPOSITORY = Path(__file__).resolve().parents[2]
REAL = Path(
    os.environ.get("MEMORIAL_BENCH_REAL") or os.environ.get("MEMORIAL_REAL") or REPOSITORY.parent / "shared" / "real"
)
LETTERS = dict(
    part.split(":")
    for part in """a:EY|b:B IY|c:S IY|d:D IY|e:IY|f:EH F|g:JH IY|h:EY CH|i:AY|j:JH EY|k:K EY|l:EH L|m:EH M|n:EH N|o:OW|
p:P IY|q:K Y UW|r:AA R|s:EH S|t:T IY|u:Y UW|v:V IY|x:EH K S|y:W AY|z:Z EH D""".replace("\n", "").split("|")
)
CLIPS = 8


def _cpu() -> float:
    """CPU seconds of this process and of the workers it has had."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _timing(words: list[WordTime], phones: list[PhoneTime], duration: float, rate: int, text: str) -> SpeechTiming:
    line = LineTime(
        index=0, text=text, language=Language.EN_US, emotion=Emotion.NEUTRAL, intensity=0.6, start=words[0].start,
        end=words[-1].end,
    )  # fmt: skip
    return SpeechTiming(sample_rate=rate, duration=duration, lines=(line,), words=tuple(words), phones=tuple(phones))


def _clip_sound(path: Path) -> tuple[NDArray[np.float32], int]:
    import av

    with av.open(str(path)) as film:
        stream = film.streams.audio[0]
        sound = np.concatenate([frame.to_ndarray().astype(np.float64).reshape(-1) for frame in film.decode(stream)])
        rate = stream.rate
    return (sound / max(1.0, np.abs(sound).max())).astype(np.float32), rate


def _grid_timing(path: Path, duration: float, rate: int) -> SpeechTiming:
    """Words from the clip's .align; phones inside a word share its time, vowels twice as long as consonants."""
    from memorial_tasks.voice.text.english import dictionary

    words, phones = [], []
    for row in path.with_suffix(".align").read_text().splitlines():
        start, end, word = row.split()
        low, high = int(start) / 25000, int(end) / 25000
        if word in {"sil", "sp"}:
            phones.append(PhoneTime(phone="SIL", start=low, end=high))
            continue
        names = (LETTERS[word] if word in LETTERS else " ".join(dictionary()[word])).split()
        weights = np.array([2.0 if name[0] in "AEIOU" else 1.0 for name in names])
        edges = low + np.concatenate([[0], np.cumsum(weights) / weights.sum()]) * (high - low)
        phones += [PhoneTime(phone=n, start=a, end=b) for n, a, b in zip(names, edges, edges[1:], strict=False)]
        words.append(WordTime(text=word, start=low, end=high))
    return _timing(words, phones, duration, rate, " ".join(word.text for word in words))


def _sync(models: Any) -> dict[str, float]:
    """Correlation with the tracked lips of real clips."""
    from memorial_tasks.face.geometry import mouth_opening

    found: dict[str, list[float]] = {"sync_r": [], "sync_r_shifted": [], "sync_r_loudness": [], "sync_lag_ms": []}
    for path in sorted((REAL / "grid-s1").glob("*.mpg"))[:CLIPS]:
        frames = list(pictures(path))
        gaps = np.full(len(frames), np.nan)
        for number, frame in enumerate(frames):
            faces = models.detect(frame)
            if faces:
                gaps[number] = mouth_opening(models.mesh(frame, faces[0]).points)
        if np.isnan(gaps).mean() > 0.1:
            continue
        gaps = np.interp(np.arange(len(gaps)), np.flatnonzero(~np.isnan(gaps)), gaps[~np.isnan(gaps)])
        sound, rate = _clip_sound(path)
        timing = _grid_timing(path, len(sound) / rate, rate)
        plan = direct_script([ScriptLine(text=timing.lines[0].text, emotion=Emotion.NEUTRAL)], Language.EN_US)
        score = perform(timing, sound, rate, plan, 1, lead_in=0.0, tail=0.0)
        mouth = score.sampled(25)["jaw_open"][: len(gaps)]
        gaps = gaps[: len(mouth)]
        loud = measure(sound, rate, timing.lines, 100).loudness
        envelope = np.interp((np.arange(len(gaps)) + 0.5) * 4, np.arange(len(loud)), loud)
        lags = range(-4, 5)
        byl = [float(np.corrcoef(np.roll(mouth, lag)[5:-5], gaps[5:-5])[0, 1]) for lag in lags]
        found["sync_r"].append(byl[4])
        found["sync_lag_ms"].append(40.0 * (int(np.argmax(byl)) - 4))
        found["sync_r_shifted"].append(float(np.corrcoef(np.roll(mouth, 12), gaps)[0, 1]))
        found["sync_r_loudness"].append(float(np.corrcoef(envelope, gaps)[0, 1]))
    return {f"film.{name}": float(np.mean(values)) for name, values in found.items() if values}


def _librivox() -> tuple[SpeechTiming, NDArray[np.float32], int]:
    """Two sentences with phone times of a real reader, one after the other."""
    import json

    words: list[WordTime] = []
    phones: list[PhoneTime] = []
    pieces: list[NDArray[np.float32]] = []
    clock, rate = 0.0, 16000
    for path in sorted((REAL / "librivox").glob("*.phone.json"))[1:5:3]:
        sound, rate = soundfile.read(path.with_name(path.name.replace(".phone.json", ".wav")), dtype="float32")
        for word in json.loads(path.read_text())["w"]:
            if word["t"].startswith("<"):
                phones.append(PhoneTime(phone="SIL", start=clock + word["b"], end=clock + word["b"] + word["d"]))
                continue
            words.append(
                WordTime(text=word["t"].split("(")[0], start=clock + word["b"], end=clock + word["b"] + word["d"])
            )
            for part in word["w"]:
                start = clock + part["b"]
                phones.append(PhoneTime(phone=part["t"], start=start, end=start + part["d"]))
        pieces.append(sound)
        clock += len(sound) / rate
    speech = np.concatenate(pieces)
    return _timing(words, phones, len(speech) / rate, rate, " ".join(word.text for word in words)), speech, rate


def _closed_in_score(timing: SpeechTiming, speech: NDArray[np.float32], rate: int) -> float:
    plan = direct_script([ScriptLine(text=timing.lines[0].text)], Language.EN_US)
    frames = perform(timing, speech, rate, plan, 1).sampled(25)
    shut = (frames["lip_press"] > 0.97) & (frames["jaw_open"] < 0.03)
    return float(np.mean([shut[_span(phone)].any() for phone in timing.phones if phone.phone in {"M", "B", "P"}]))


def _span(phone: PhoneTime) -> slice:
    return slice(int((phone.start + LEAD_IN - 0.03) * 25), int((phone.end + LEAD_IN + 0.03) * 25) + 1)


def _bank(models: Any, folder: Path) -> None:
    from memorial_tasks.face.bank import build_bank, save_bank

    photos = []
    for path in sorted((REAL / "grid-s1").glob("*.mpg"))[:8]:
        for number, frame in enumerate(pictures(path)):
            if number in {5, 35, 50}:
                photos.append((f"{path.stem}-{number}", frame))
    bank, findings = build_bank(models, photos, 24)
    save_bank(bank, findings, folder)


def _made(models: Any, root: Path, assets: Path) -> dict[str, float]:
    """The steps animate and compose on a real face (no refiner) and a real voice."""
    from memorial_tasks.face.geometry import mouth_opening

    timing, speech, rate = _librivox()
    given, out = root / "in", root / "out"
    given.mkdir()
    out.mkdir()
    kept = root / "kept"
    kept.mkdir()
    _bank(models, given / "face")
    soundfile.write(given / "speech.wav", speech, rate, "PCM_16")
    (given / "timing.json").write_text(timing.model_dump_json())
    plan = direct_script([ScriptLine(text=timing.lines[0].text)], Language.EN_US)
    (given / "plan.json").write_text(plan.model_dump_json())
    context = StepContext("bench", given, out, kept, 1, lambda share, what: None, assets=assets)
    clock, cpu = time.monotonic(), _cpu()
    frames = int(animate.run(context, animate.Params())["frames"])
    animated, animated_cpu = time.monotonic() - clock, _cpu() - cpu
    for name in ("portrait.mp4", "matte.png"):
        (out / name).rename(given / name)
    clock, cpu = time.monotonic(), _cpu()
    compose.run(context, compose.Params())
    composed, composed_cpu = time.monotonic() - clock, _cpu() - cpu

    gaps = []
    for frame in pictures(given / "portrait.mp4"):
        faces = models.detect(frame)
        gaps.append(mouth_opening(models.mesh(frame, faces[0]).points) if faces else np.nan)
    lips = np.array(gaps)
    bilabials = [phone for phone in timing.phones if phone.phone in {"M", "B", "P"} and phone.end - phone.start >= 0.05]
    closed = [np.nanmin(lips[_span(phone)]) < 0.03 for phone in bilabials]
    cores = os.cpu_count() or 1
    return {
        "film.fps": frames / (animated + composed),
        "film.fps_cpu": cores * frames / (animated_cpu + composed_cpu),
        "film.animate_ms": 1000 * animated_cpu / frames,
        "film.compose_ms": 1000 * composed_cpu / frames,
        "film.bilabial_closed": float(np.mean(closed)),
        "film.bilabial_closed_score": _closed_in_score(timing, speech, rate),
        "film.mouth_range": float(np.nanpercentile(lips, 95) - np.nanpercentile(lips, 5)),
    } | _sound(out / "film.mp4")


def _sound(film: Path) -> dict[str, float]:
    import av

    loudness, peak = LoudnessMeter(48000), TruePeakMeter()
    with av.open(str(film)) as container:
        for frame in container.decode(audio=0):
            block = frame.to_ndarray().T
            loudness.feed(block)
            peak.feed(block)
    return {"film.loudness": loudness.integrated(), "film.true_peak": peak.decibels()}


def _encoder(root: Path) -> dict[str, float]:
    """The writer alone at 1080p25, moving textured pictures; `film.encoder_ratio` against bare libx264 in PyAV."""
    import av

    random = np.random.default_rng(0)
    image = cv2.resize(random.integers(0, 255, (135, 240, 3), np.uint8), (1920, 1080), interpolation=cv2.INTER_CUBIC)
    moving = [np.ascontiguousarray(np.roll(image, 2 * n, axis=1)) for n in range(50)]
    clock, cpu = time.monotonic(), _cpu()
    with FilmWriter(root / "ours.mp4", (1920, 1080), 25) as writer:
        for picture in moving:
            writer.picture(picture)
    speed, ours = len(moving) / (time.monotonic() - clock), _cpu() - cpu
    clock, cpu = time.monotonic(), _cpu()
    with av.open(str(root / "bare.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "12", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        stream.codec_context.thread_count = 0
        for picture in moving:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    bare, plain = _cpu() - cpu, len(moving) / (time.monotonic() - clock)
    assert facts(root / "ours.mp4").frames == len(moving)
    return {"film.encoder_fps": speed, "film.encoder_bare_fps": plain, "film.encoder_ratio": bare / ours} | _memory(
        root
    )


def _memory(root: Path) -> dict[str, float]:
    """``film.memory_growth``: peak memory of composing four minutes over that of one, each in a process of its own.
    A film of an hour needs what a film of a minute needs when it is 1."""
    peaks = []
    for minutes in (1, 4):
        code = (
            "import resource, sys; from pathlib import Path; from tests.bench.bench_film import long_film;"
            f"long_film(Path({str(root)!r}), {minutes});"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
        peaks.append(float(done.stdout.split()[-1]))
    return {"film.memory_growth": peaks[1] / peaks[0], "film.memory_mb": peaks[1] / 1024}


def long_film(root: Path, minutes: int) -> None:
    """A drawn person for so many minutes through `compose_film`, small and in one process: only memory is asked."""
    folder = root / f"long-{minutes}"
    folder.mkdir(exist_ok=True)
    matte = np.zeros((120, 96), np.uint8)
    cv2.ellipse(matte, (48, 90), (34, 70), 0, 0, 360, 255, -1)
    with FilmWriter(folder / "portrait.mp4", (96, 120), 25, preset="ultrafast", pixel_format="yuv444p") as writer:
        for number in range(minutes * 1500):
            writer.picture(np.full((120, 96, 3), 80 + number % 60, np.uint8))
    rate, seconds = 24000, minutes * 60 - 3
    tone = (0.1 * np.sin(np.arange(rate) / rate * 2 * np.pi * 150)).astype(np.float32)
    with soundfile.SoundFile(folder / "speech.wav", "w", rate, 1, "PCM_16") as file:  # second by second: held by nobody
        for _ in range(seconds):
            file.write(tone)
    word = WordTime(text="a", start=0.0, end=float(seconds))
    timing = _timing([word], [PhoneTime(phone="AA", start=0.0, end=float(seconds))], float(seconds), rate, "a")
    compose_film(
        folder / "portrait.mp4", matte, folder / "speech.wav", timing, folder / "film.mp4", folder / "poster.png",
        size=(320, 180), workers=1,
    )  # fmt: skip


def run() -> dict[str, float]:
    """Figures under the names of DESIGN section 8."""
    assets = Settings().assets_dir
    with tempfile.TemporaryDirectory() as folder:
        figures = _encoder(Path(folder))
        if (REAL / "grid-s1").is_dir() and (REAL / "librivox").is_dir():
            from memorial_tasks.face.landmarks import FaceModels

            models = FaceModels.load(assets)
            figures |= _sync(models)
            figures |= _made(models, Path(folder), assets)
    return figures


if __name__ == "__main__":
    for name, value in run().items():
        print(f"{name:32} {value:.4f}")
