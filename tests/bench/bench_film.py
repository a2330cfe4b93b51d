"""The film: do the lips follow the words of a real person, does the picture come fast enough, is the sound right.

Material: ``grid-s1`` (clips with word times) and ``librivox`` (phone times) under MEMORIAL_BENCH_REAL (or
MEMORIAL_REAL, ``../shared/real`` otherwise); neither is part of the repository, and without them only the figures that
need no real person are returned.

- ``film.<measure>_ratio``: ours over the person's own, for THEval's measures that need no download (`lifelike`), on
  clips that neither face nor habits were learned from; 1 is right. ``_person`` and ``_ours`` are the figures
  themselves. The broken control is the same mouth beside the wrong sound (moved by 0.4 to 1.2 s, or another
  sentence's): ``_wrong``, and ``film.lip_sync_wrong_ratio`` over the person's own; ``film.sync_told_<who>`` is the
  share of wrong pairs that fit worse than the right one. Of a face that is still, the control of the other measures,
  all are 0. ``film.sync_r``: correlation of the shown opening with the sound's level.
- ``film.bilabial_closed``: share of m, b and p whose lips are seen to meet in the portrait of a reader's sentences;
  ``film.bilabial_closed_score`` the same in the score, ``film.bilabial_closed_shifted`` 0.4 to 1.2 s beside them;
  ``film.clips_bilabial_closed`` and its kin the same on the clips.
- ``film.fps``: pictures a second through animate and compose at 1080p25 by the wall clock, a worker for each core, with
  everything that starting them costs; ``film.fps_cpu`` what the CPU time used allows on this machine's cores when
  nothing else runs on them; ``film.got`` the share of the cores this run had. Where it is far below 1 the first says
  how busy the machine was, the second how fast the film is.
- ``film.encoder_ratio``: CPU time of FFmpeg's own conversion and libx264 at the same preset over that of our writer;
  ``film.encoder_wall_ratio`` the same by the wall clock, both of the best of three rounds taken in turns.
- ``film.memory_growth``: peak memory of composing four minutes over that of composing one; MEMORIAL_BENCH_HOUR=1 has
  the hour itself made.
- ``film.emotion_told`` and its kin: see `film_emotions`; only where `MEMORIAL_BENCH_SPEAKER` names a trained voice.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import soundfile
from numpy.typing import NDArray

from memorial_tasks.domain.order import ScriptLine
from memorial_tasks.domain.timing import LEAD_IN, LineTime, PhoneTime, SpeechTiming, WordTime
from memorial_tasks.domain.words import Emotion, Language
from memorial_tasks.performance import capture
from memorial_tasks.performance.direct import direct_script
from memorial_tasks.performance.perform import Habits, perform
from memorial_tasks.settings import Settings
from memorial_tasks.steps import animate, compose
from memorial_tasks.steps.contract import StepContext
from memorial_tasks.video.compose import compose_film
from memorial_tasks.video.encode import FilmWriter, facts, pictures
from memorial_tasks.video.loudness import LoudnessMeter, TruePeakMeter
from memorial_tasks.video.shots import processors
from memorial_tasks.voice.audio import RATE, resample
from memorial_tasks.voice.recorded import recording_timing
from tests.bench import lifelike

REPOSITORY = Path(__file__).resolve().parents[2]
REAL = Path(
    os.environ.get("MEMORIAL_BENCH_REAL") or os.environ.get("MEMORIAL_REAL") or REPOSITORY.parent / "shared" / "real"
)
TUNED = slice(20, 40)  # clips by which settings were chosen: neither learned from nor judged
HOME_VIDEOS = 20  # clips from which face and habits are learned; the other 40 are judged
TAKES = 2  # performances of each judged clip: chance has a part in when lids fall and lips part


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
        rate = stream.rate
        mono = av.AudioResampler(format="flt", layout="mono", rate=rate)
        parts = [part.to_ndarray().reshape(-1) for frame in film.decode(stream) for part in mono.resample(frame)]
    sound = np.concatenate(parts)
    return (sound / max(1.0, np.abs(sound).max())).astype(np.float32), rate


def _words(path: Path) -> str:
    rows = (row.split()[2] for row in path.with_suffix(".align").read_text().splitlines())
    return " ".join(word for word in rows if word not in {"sil", "sp"})


def _clips() -> tuple[list[Path], list[Path]]:
    """The clips that are learned from and those that are judged. Drawn by lot: the order of the files is that of their
    first words, and he speaks those of a kind alike."""
    clips = sorted((REAL / "grid-s1").glob("*.mpg"))
    del clips[TUNED]
    drawn = [clips[number] for number in np.random.default_rng(0).permutation(len(clips))]
    return sorted(drawn[:HOME_VIDEOS]), sorted(drawn[HOME_VIDEOS:])


def _alive(models: Any, face: Path) -> dict[str, float]:
    """The figures of `lifelike`: the person's own clips, the same clips made by us from their sound and words, and
    made from those of another clip."""
    from memorial_tasks.face.render import FaceRenderer

    renderer, habits = FaceRenderer.load(face), capture.load(face / "habits.json")
    clips, shown = [], []
    for number, path in enumerate(_clips()[1]):
        person = lifelike.track(pictures(path), models)
        if person is None:
            continue
        sound, rate = _clip_sound(path)
        timing = recording_timing(resample(sound, rate, RATE), _words(path), Language.EN_US)
        plan = direct_script([ScriptLine(text=timing.lines[0].text, emotion=Emotion.NEUTRAL)], Language.EN_US)
        count = len(person.opening)
        for take in range(TAKES):
            # the clip is a piece of a longer sitting, so ours is cut out of a longer film
            score = perform(timing, sound, rate, plan, TAKES * number + take, habits, lead_in=1.0, tail=1.0)
            curves = {name: curve[lifelike.FPS :][:count] for name, curve in score.sampled(lifelike.FPS).items()}
            ours = lifelike.track(lifelike.as_filmed(list(renderer.frames(curves, lifelike.FPS)), path), models)
            if ours is not None:
                clips.append((sound, rate, timing))
                shown.append({"person": person, "ours": ours})
    return _table(clips, shown)


def _table(
    clips: Sequence[tuple[NDArray[np.float32], int, SpeechTiming]], shown: Sequence[dict[str, lifelike.Tracked]]
) -> dict[str, float]:
    """The rows of the table: the person, ours, and the broken control, which is ours beside the wrong sound, and where
    the sound does not matter a face that is still."""
    found: dict[str, float] = {"film.takes": float(len(clips))}
    for who in ("person", "ours"):
        rows, wrong = [], []
        for (sound, rate, timing), faces in zip(clips, shown, strict=True):
            rows.append(lifelike.measure(faces[who], sound, rate, timing))
            count = len(faces[who].opening)
            others = [other[who].opening for said, other in zip(clips, shown, strict=True) if said[2] is not timing]
            loud, said = lifelike.level(sound, rate, count), lifelike.speaking(timing, count)
            wrong.append(lifelike.against(faces[who].opening, loud, said, others))
        for name in (*lifelike.MEASURES, "sync_r"):
            found[f"film.{name}_{who}"] = float(np.nanmean([row[name] for row in rows]))
        for name in ("lip_sync", "sync_r"):
            found[f"film.{name}_{who}_wrong"] = float(np.mean([row[name] for row in wrong]))
        found[f"film.sync_told_{who}"] = float(np.mean([row["told"] for row in wrong]))
    found |= {
        f"film.{name}_ratio": found[f"film.{name}_ours"] / found[f"film.{name}_person"] for name in lifelike.MEASURES
    }
    found["film.lip_sync_wrong_ratio"] = found["film.lip_sync_ours_wrong"] / found["film.lip_sync_person"]
    faces = [(each["ours"].met, timing) for each, (_, _, timing) in zip(shown, clips, strict=True)]
    met = [one for lips, timing in faces for one in lifelike.closures(lips, timing)]
    apart = [one for late in lifelike.SHIFTS for lips, timing in faces for one in lifelike.closures(lips, timing, late)]
    found |= {
        "film.clips_bilabials": float(len(met)),
        "film.clips_bilabial_closed": float(np.mean(met)),
        "film.clips_bilabial_closed_shifted": float(np.mean(apart)),
    }
    return found | {"film.sync_r": found["film.sync_r_ours"]}


def _librivox() -> tuple[SpeechTiming, NDArray[np.float32], int]:
    """Two sentences with phone times of a real reader, one after the other."""
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


def _face(models: Any, folder: Path) -> Path:
    """The person's face as an order gets it from a minute of home video: the frames chosen from it, config
    cpu, and the habits seen in it."""
    from memorial_tasks.face import track
    from memorial_tasks.face.bank import build_bank, save_bank
    from memorial_tasks.face.learn import learn_face
    from memorial_tasks.quality.frames import pick_frames, read_picked

    videos = _clips()[0]
    picked = pick_frames(videos, models, lambda share, what: None)
    photos = []
    for number, path in enumerate(videos):
        own = [one for one in picked if one.video == number]
        photos += [(f"{path.stem}-{frame.index}", frame.rgb) for frame in read_picked(path, own, 3.0)]
    bank, findings = build_bank(models, photos, len(photos))
    save_bank(bank, findings, folder)
    (folder / "kept").mkdir()
    learn_face(folder, folder, "cpu", 1, folder / "kept", lambda: None, lambda share, what: None)
    rows = []
    for path in videos:
        rows += track.follow(((number / 25, frame) for number, frame in enumerate(pictures(path))), models)
    capture.save(capture.learn(track.COLUMNS, rows) or Habits(), folder / "habits.json")
    return folder


def _made(models: Any, root: Path, face: Path, assets: Path) -> dict[str, float]:
    """The steps animate and compose on a real face and a real voice."""
    timing, speech, rate = _librivox()
    given, out, kept = (root / name for name in ("in", "out", "kept"))
    for folder in (given, out, kept):
        folder.mkdir()
    shutil.copytree(face, given / "face")
    soundfile.write(given / "speech.wav", speech, rate, "PCM_16")
    (given / "timing.json").write_text(timing.model_dump_json())
    plan = direct_script([ScriptLine(text=timing.lines[0].text)], Language.EN_US)
    (given / "plan.json").write_text(plan.model_dump_json())
    context = StepContext("bench", given, out, kept, 1, lambda share, what: None, assets=assets)
    clock, cpu = time.monotonic(), _cpu()
    frames = int(animate.run(context, animate.Params())["frames"])
    animated, animated_cpu = time.monotonic() - clock, _cpu() - cpu
    for name in ("portrait.mp4", "matte.png", "score.safetensors"):
        (out / name).rename(given / name)
    clock, cpu = time.monotonic(), _cpu()
    compose.run(context, compose.Params())
    composed, composed_cpu = time.monotonic() - clock, _cpu() - cpu

    seen = lifelike.track(pictures(given / "portrait.mp4"), models)
    lips = seen.opening if seen is not None else np.ones(frames)
    wall, used = animated + composed, animated_cpu + composed_cpu
    return {
        "film.fps": frames / wall,
        "film.fps_cpu": processors() * frames / used,
        "film.got": used / (processors() * wall),
        "film.load": os.getloadavg()[0],
        "film.animate_ms": 1000 * animated_cpu / frames,
        "film.compose_ms": 1000 * composed_cpu / frames,
        "film.bilabial_closed": lifelike.closed(lips, timing, LEAD_IN),
        "film.bilabial_closed_shifted": float(
            np.nanmean([lifelike.closed(lips, timing, LEAD_IN + late) for late in lifelike.SHIFTS])
        ),
        "film.bilabial_closed_score": _closed_in_score(timing, speech, rate),
        "film.mouth_range": float(np.percentile(lips, 95) - np.percentile(lips, 5)),
    } | _sound(out / "film.mp4")


def _sound(film: Path) -> dict[str, float]:
    import av

    loudness, peak = LoudnessMeter(48000), TruePeakMeter()
    with av.open(str(film)) as container:
        for frame in container.decode(audio=0):
            block = np.asarray(frame.to_ndarray().T, np.float32)
            loudness.feed(block)
            peak.feed(block)
    return {"film.loudness": loudness.integrated(), "film.true_peak": peak.decibels()}


def _encoder(root: Path) -> dict[str, float]:
    """The writer alone at 1080p25, moving textured pictures; `film.encoder_ratio` against bare libx264 in PyAV."""
    import av

    random = np.random.default_rng(0)
    image = cv2.resize(random.integers(0, 255, (135, 240, 3), np.uint8), (1920, 1080), interpolation=cv2.INTER_CUBIC)
    moving = [np.ascontiguousarray(np.roll(np.asarray(image, np.uint8), 2 * n, axis=1)) for n in range(50)]
    clocks: dict[str, list[tuple[float, float]]] = {"ours": [], "bare": []}
    for _ in range(3):
        clock, cpu = time.monotonic(), _cpu()
        with FilmWriter(root / "ours.mp4", (1920, 1080), 25) as writer:
            for picture in moving:
                writer.picture(picture)
        clocks["ours"].append((time.monotonic() - clock, _cpu() - cpu))
        clock, cpu = time.monotonic(), _cpu()
        with av.open(str(root / "bare.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"crf": "12", "preset": "veryfast"})
            stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
            stream.codec_context.thread_count = 0
            for picture in moving:
                container.mux(stream.encode(av.VideoFrame.from_numpy_buffer(picture, format="rgb24")))
            container.mux(stream.encode(None))
        clocks["bare"].append((time.monotonic() - clock, _cpu() - cpu))
    assert facts(root / "ours.mp4").frames == len(moving)
    (ours, ours_cpu), (bare, bare_cpu) = (tuple(map(min, zip(*found, strict=True))) for found in clocks.values())
    return {
        "film.encoder_fps": len(moving) / ours,
        "film.encoder_bare_fps": len(moving) / bare,
        "film.encoder_ratio": bare_cpu / ours_cpu,
        "film.encoder_wall_ratio": bare / ours,
    } | _memory(root)


def _memory(root: Path) -> dict[str, float]:
    """``film.memory_growth``: peak memory of composing four minutes over that of one, each in a process of its own.
    A film of an hour needs what a film of a minute needs when it is 1.

    With MEMORIAL_BENCH_HOUR=1 the hour itself is made (some ten minutes): ``film.hour_mb`` is the peak of composing it
    at 320x180, ``film.hour_score_mb`` that of writing its score, as the step animate does, and ``film.full_mb`` that of
    a minute at 1080p: what the size adds, the length does not.
    """
    short, long = (_peak(root, f"long_film(root, {minutes})") for minutes in (1, 4))
    found = {"film.memory_growth": long / short, "film.memory_mb": long}
    if os.environ.get("MEMORIAL_BENCH_HOUR"):
        found["film.hour_score_mb"] = _peak(root, "long_score(60)")
        found["film.full_mb"] = _peak(root, "long_film(root, 1, (1920, 1080))")
        found["film.hour_mb"] = _peak(root, "long_film(root, 60)")
        print(json.dumps({name: round(value) for name, value in found.items() if value > 10}), file=sys.stderr)
    return found


def _peak(root: Path, call: str) -> float:
    """The most memory in MiB that a fresh process has for a call of this module. As the kernel counts it for that
    program (VmHWM): `ru_maxrss` would begin with what the process had that started it."""
    code = (
        "import re; from pathlib import Path; from tests.bench.bench_film import long_film, long_score;"
        f"root = Path({str(root)!r}); {call};"
        "print(re.search(r'VmHWM:\\s*(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1]) / 1024


def long_film(root: Path, minutes: int, size: tuple[int, int] = (320, 180)) -> None:
    """A drawn person for so many minutes through `compose_film` in one process: only memory is asked."""
    folder = root / f"long-{minutes}-{size[1]}"
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
        size=size, workers=1,
    )  # fmt: skip


def long_score(minutes: int) -> None:
    """The score of a film of so many minutes, a line of four seconds every five."""
    rate, text = 24000, "we are all together in the garden now"
    lines, words, phones = [], [], []
    for index in range(minutes * 12):
        start = index * 5.0 + 0.5
        lines.append(
            LineTime(
                index=index, text=text, language=Language.EN_US, emotion=Emotion.WARM, intensity=0.6, start=start,
                end=start + 4.0,
            )
        )  # fmt: skip
        for number, word in enumerate(text.split()):
            begin = start + number * 0.5
            words.append(WordTime(text=word, start=begin, end=begin + 0.45))
            phones += [PhoneTime(phone=name, start=begin + n * 0.15, end=begin + n * 0.15 + 0.15)
                       for n, name in enumerate(("M", "AA", "N"))]  # fmt: skip
    timing = SpeechTiming(
        sample_rate=rate, duration=minutes * 60.0, lines=tuple(lines), words=tuple(words), phones=tuple(phones)
    )
    tone = (0.1 * np.sin(np.arange(rate) / rate * 2 * np.pi * 150)).astype(np.float32)
    plan = direct_script([ScriptLine(text=text, emotion=Emotion.WARM)] * len(lines), Language.EN_US)
    score = perform(timing, np.tile(tone, minutes * 60), rate, plan, 1)
    with tempfile.TemporaryDirectory() as folder:
        score.save(Path(folder) / "score.safetensors")


def run() -> dict[str, float]:
    """Figures under the names of DESIGN section 8."""
    assets = Settings().assets_dir
    with tempfile.TemporaryDirectory() as folder:
        figures = _encoder(Path(folder))
        if (REAL / "grid-s1").is_dir() and (REAL / "librivox").is_dir():
            from memorial_tasks.face.landmarks import FaceModels
            from memorial_tasks.face.render import FaceRenderer

            models = FaceModels.load(assets)
            face = _face(models, Path(folder) / "face")
            figures |= _made(models, Path(folder), face, assets)
            figures |= _alive(models, face)
            voice = os.environ.get("MEMORIAL_BENCH_SPEAKER")
            if voice:
                from tests.bench.film_emotions import emotions

                renderer = FaceRenderer.load(face)
                figures |= emotions(Path(voice), renderer, models, None)
    return figures


if __name__ == "__main__":
    for name, value in run().items():
        print(f"{name:32} {value:.4f}")
