"""The voice against the person's real recordings, side by side with copy-synthesis, espeak-ng, flite and other people.

Material: the ``kathleen``, ``grid-s1``, ``others``, ``librispeech`` and ``aishell3`` folders (none is part of the
repository) under MEMORIAL_BENCH_REAL (or MEMORIAL_REAL, ``../shared/real`` otherwise). From kathleen 86 utterances
(4.3 minutes) and again 20 of them (54 s) are learned from, 30 others are spoken and judged. The judge of words is
pocketsphinx with its bundled English model, a weak one: only the difference to the real recordings means anything.
Likeness is the cosine to the mean Resemblyzer embedding of recordings the model has learned from. From grid-s1 60 clips
of 3 s are learned from; his enrolment is the mean of twenty of them, that of the nine others their one clip each.

The parts: ``front`` (readings against the AISHELL-3 table), ``peers`` (the rows beside her voice), ``person`` (4.3
minutes of her), ``minute`` (54 s of her), ``grid``, ``words`` (500 sentences with the voice of ``person``); about
twelve minutes of one core. Only on request: ``base`` (a base voice of both languages trained on her and on aishell3,
people learned on top of it, and the 30 aishell3 sentences spoken again; MEMORIAL_BENCH_BASE_MINUTES of her, 10 unless
said) and ``vocoder`` (the GAN vocoder's curve over MEMORIAL_BENCH_VOCODER_S CPU seconds). Parts asked for by name leave
the figures of the others as they stand in build/bench.json; with MEMORIAL_BENCH_SCRATCH, a folder, a run that is cut
off goes on. PESQ (ITU-T P.862.2) is measured where the package ``pesq`` is installed, which is no part of the project;
flite likewise. On top of the base voice she is learned from one minute to all, and the man of grid-s1, whom it never
heard, from 20 and 60 clips.

    python -m tests.bench voice
    MEMORIAL_BENCH_VOICE=person,words python -m tests.bench voice
"""

import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from memorial_tasks.domain.timing import DirectedLine
from memorial_tasks.domain.words import Emotion, Language
from memorial_tasks.voice.audio import RATE, Wave, clean, read_wave, resample, set_loudness, write_wave
from memorial_tasks.voice.base import Base
from memorial_tasks.voice.base import train as train_base
from memorial_tasks.voice.corpus import Corpus, Utterance
from memorial_tasks.voice.ctc import place_all
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.evaluate import frame_distortion, plain_words, word_errors
from memorial_tasks.voice.examples import statistics
from memorial_tasks.voice.features import Frames, PitchRange, analyse, pitch_range, resynthesise
from memorial_tasks.voice.licensed import Part, Spoken, read_part, with_pinyin
from memorial_tasks.voice.model import VoiceModel
from memorial_tasks.voice.phones import SILENCE
from memorial_tasks.voice.prepare import Recogniser, prepare_reading, prepare_voice
from memorial_tasks.voice.recipe import RECIPES, TUNING, VocoderRecipe
from memorial_tasks.voice.sequence import spoken_row
from memorial_tasks.voice.synthesize import SpokenLine, hear_line, say_line, say_row
from memorial_tasks.voice.text.front import FrontEnd
from memorial_tasks.voice.train import train_voice
from memorial_tasks.voice.vocoder import VocoderRun, copy_distances
from tests.bench.front_ends import agreement
from tests.bench.tones import ToneJudge, left_out_accuracy, syllables
from tests.support.sentences import five_hundred

REPOSITORY = Path(__file__).resolve().parents[2]
REAL = Path(
    os.environ.get("MEMORIAL_BENCH_REAL") or os.environ.get("MEMORIAL_REAL") or REPOSITORY.parent / "shared" / "real"
)
FIGURES = REPOSITORY / "build" / "bench.json"
PARTS, ON_REQUEST = ("front", "peers", "person", "minute", "grid", "words"), ("base", "vocoder")
TEST, TRAIN, MINUTE = slice(0, 30), slice(60, 146), slice(60, 80)
FINE_TUNED = (1.0, 3.0, 10.0, 30.0, 0.0)  # minutes of her on top of the base voice, 0 for all
GRID_TRAIN, GRID_TEST, GRID_ENROL = slice(0, 60), slice(60, 80), slice(0, 20)
Pairs = list[tuple[Path, str]]


def _say(message: str) -> None:
    print(f"  voice {time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)


class _Ear:
    """Embeddings and recognised words, each model loaded once."""

    def __init__(self) -> None:
        from resemblyzer import VoiceEncoder

        self._encoder: Any = VoiceEncoder("cpu", verbose=False)
        self._recogniser = Recogniser()

    def embed(self, wave: Wave) -> NDArray[np.float32]:
        """Unit vector float32 [256] of a wave at 24 kHz."""
        return np.asarray(self._encoder.embed_utterance(resample(set_loudness(wave), RATE, 16000)), np.float32)

    def person(self, waves: Sequence[Wave]) -> NDArray[np.float32]:
        """Unit vector of the mean embedding."""
        mean = np.mean([self.embed(wave) for wave in waves], axis=0)
        return np.asarray(mean / np.linalg.norm(mean), np.float32)

    def likeness(self, waves: Sequence[Wave], person: NDArray[np.float32]) -> float:
        """Mean cosine."""
        return float(np.mean([self.embed(wave) @ person for wave in waves]))

    def word_error_rate(self, waves: Sequence[Wave], texts: Sequence[str]) -> float:
        """Errors a word over all sentences."""
        errors = words = 0
        for wave, text in zip(waves, texts, strict=True):
            said = plain_words(text)
            words += len(said)
            errors += word_errors(said, plain_words(self._recogniser.words(set_loudness(wave))))
        return errors / words


def _line(text: str) -> DirectedLine:
    return DirectedLine(
        index=0, text=text, language=Language.EN_US, emotion=Emotion.NEUTRAL, intensity=0.5, pace=1.0, pause=0.4,
        gaze="camera",
    )  # fmt: skip


def _speak(model: VoiceModel, texts: Sequence[str]) -> list[SpokenLine]:
    """Every text as the product says it: heard back, and made again where it was not clear."""
    with Espeak() as espeak:
        front = FrontEnd(espeak)
        lines = [(_line(text), front.words(text, Language.EN_US)) for text in texts]
    return [say_line(model, line, words) for line, words in lines]


def _spent(path: Path, seconds: float) -> None:
    path.write_text(str(seconds), "utf-8")


@contextmanager
def _scratch(name: str) -> Iterator[Path]:
    """A folder for a long part: kept under MEMORIAL_BENCH_SCRATCH, so that a part cut off goes on, or gone after it."""
    if kept := os.environ.get("MEMORIAL_BENCH_SCRATCH"):
        (Path(kept) / name).mkdir(parents=True, exist_ok=True)
        yield Path(kept) / name
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)


def _prepare(pairs: Pairs) -> tuple[Corpus, float]:
    """The prepared speech of (file, transcript) pairs and the CPU seconds it took."""
    with _scratch(
        "prepared-" + hashlib.sha256("".join(path.stem for path, _ in pairs).encode()).hexdigest()[:8]
    ) as kept:
        if (kept / "seconds.txt").is_file():
            return Corpus.load(kept), float((kept / "seconds.txt").read_text("utf-8"))
        started = time.process_time()
        corpus = prepare_voice([path for path, _ in pairs], {path.stem: text for path, text in pairs}, Language.EN_US)
        seconds = time.process_time() - started
        corpus.save(kept)
        _spent(kept / "seconds.txt", seconds)
    return corpus, seconds


def _learn(pairs: Pairs, base: Base | None = None) -> tuple[VoiceModel, Corpus, float, float]:
    """A voice from (file, transcript) pairs, what it learned from, and the CPU seconds of preparation and training."""
    corpus, prepared = _prepare(pairs)
    model, seconds = _train(corpus, base)
    return model, corpus, prepared, seconds


def _train(corpus: Corpus, base: Base | None = None) -> tuple[VoiceModel, float]:
    """A voice from prepared speech, and the CPU seconds of training."""
    with tempfile.TemporaryDirectory() as scratch:
        started = time.process_time()
        recipe = TUNING["cpu"] if base else RECIPES["cpu"]
        trained = train_voice(corpus, recipe, Path(scratch), seed=1, base=base)
    return trained.model, time.process_time() - started


def _pesq(pairs: Sequence[tuple[Wave, Wave]]) -> float | None:
    """Mean PESQ-WB of (recording, copy) at 24 kHz that stand at the same times; None without the package."""
    try:
        pesq = importlib.import_module("pesq").pesq
    except ImportError:
        _say("the package pesq is not installed: its figures are left out")
        return None
    values = []
    for real, made in pairs:
        size = min(real.size, made.size)
        values.append(pesq(16000, resample(real[:size], RATE, 16000), resample(made[:size], RATE, 16000), "wb"))
    return float(np.mean(values))


def _flite(texts: Sequence[str]) -> list[Wave]:
    """What flite says; empty where the program is not installed."""
    program = shutil.which("flite")
    if program is None:
        _say("flite is not installed: its row is left out")
        return []
    waves = []
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "said.wav"
        for text in texts:
            subprocess.run([program, "-voice", "slt", "-t", text, "-o", str(target)], check=True)
            waves.append(read_wave(target))
    return waves


class _Kathleen:
    """Her sentences, her enrolment, and what is measured of each row."""

    def __init__(self, ear: _Ear, out: dict[str, float]) -> None:
        folder = REAL / "kathleen"
        lines = [row.split("|", 1) for row in (folder / "metadata.csv").read_text("utf-8").splitlines() if "|" in row]
        self.pairs: Pairs = [(folder / f"{name}.flac", text) for name, text in lines]
        self.texts = [text for _, text in self.pairs[TEST]]
        self.natural = [set_loudness(clean(read_wave(path))) for path, _ in self.pairs[TEST]]
        self.person = ear.person([clean(read_wave(path)) for path, _ in self.pairs[TRAIN][:40]])
        self.ear, self.out = ear, out

    def row(self, name: str, waves: list[Wave]) -> None:
        """Word errors and likeness of one row of the table; nothing where a run cut off has kept them."""
        if f"voice.similarity{name}" in _kept():
            return
        self.out[f"voice.wer{name}"] = self.ear.word_error_rate(waves, self.texts)
        self.out[f"voice.similarity{name}"] = self.ear.likeness(waves, self.person)
        _say(f"row {name or 'tier 0'}: {self.out[f'voice.wer{name}']:.3f} {self.out[f'voice.similarity{name}']:.3f}")
        _keep(self.out)


def _peers(her: _Kathleen) -> None:
    """The rows beside her own voice: her recordings, copies of them, two programs that speak, and other people."""
    out = her.out
    her.row("_natural", her.natural)
    pitch = pitch_range(her.natural)
    her.row("_copy", [resynthesise(analyse(wave, pitch)) for wave in her.natural])
    with Espeak() as espeak:
        speech = [espeak.say(text, "en-us+f3") for text in her.texts]
    her.row("_espeak", [resample(item.audio, item.rate, RATE) for item in speech])
    if flite := _flite(her.texts):
        her.row("_flite", flite)
    strangers = sorted((REAL / "librispeech").glob("*.flac"))
    speakers = sorted({path.stem.split("-")[0] for path in strangers})
    means = [
        her.ear.likeness([read_wave(path) for path in strangers if path.stem.startswith(f"{one}-")], her.person)
        for one in speakers
    ]
    out["voice.similarity_others"], out["voice.similarity_nearest_other"] = float(np.mean(means)), max(means)


def _voice(her: _Kathleen) -> VoiceModel:
    """The voice learned from 4.3 minutes of her, learned once where parts are kept."""
    with _scratch("person") as folder:
        if not (folder / "model.safetensors").is_file():
            model, _, her.out["voice.prepare_s"], her.out["voice.train_s"] = _learn(her.pairs[TRAIN])
            model.save(folder / "model.safetensors")
            _keep(her.out)
        return VoiceModel.load(folder / "model.safetensors")


def _person(her: _Kathleen) -> None:
    model, out = _voice(her), her.out
    started = time.process_time()
    spoken = _speak(model, her.texts)
    out["voice.rtf"] = (time.process_time() - started) / (sum(line.wave.size for line in spoken) / RATE)
    out["voice.lines_remade"] = float(np.mean([line.tries > 1 for line in spoken]))
    out["voice.lines_unclear"] = float(np.mean([line.unclear > 0 for line in spoken]))
    her.row("", [line.wave for line in spoken])


def _minute(her: _Kathleen) -> None:
    minute, _, _, her.out["voice.train_s_1min"] = _learn(her.pairs[MINUTE])
    her.row("_1min", [line.wave for line in _speak(minute, her.texts)])


def _words(model: VoiceModel, out: dict[str, float]) -> None:
    """Five hundred sentences: every word once and in order in the times, and found again in the sound."""
    texts = [(text, language) for text, language in five_hundred()]
    wrong = astray = words = 0
    with Espeak() as espeak:
        front = FrontEnd(espeak)
        for text, language in texts:
            said = front.words(text, language)
            timed, frames = say_row(model, spoken_row(said))
            order = [number for number in timed.row.word if number >= 0]
            phones = [phone for phone in timed.row.phones if phone.name != SILENCE]
            complete = phones == [phone for word in said for phone in word.phones] and order == sorted(order)
            wrong += not (complete and bool((np.diff(timed.edges) >= 1).all()))
            if language == model.language:
                heard = hear_line(model, model.sound(frames), timed)
                words += len(heard)
                astray += sum(abs(word.shift) > 0.25 for word in heard)
    out["voice.sentences_with_missing_or_repeated_words"] = float(wrong)
    out["voice.sentences"] = float(len(texts))
    out["voice.words_found_astray"] = astray / words
    _say(f"{wrong} of {len(texts)} sentences miss or repeat a word; {astray} of {words} words found elsewhere")


def _mandarin_corpus(folder: Path) -> None:
    """The aishell3 material in its publisher's layout: ``content.txt`` and ``wav/SPEAKER/``."""
    tables = [
        [row.split("\t")[:2] for row in (REAL / "aishell3" / name).read_text("utf-8").splitlines()]
        for name in ("metadata_hanzi.csv", "metadata_pinyin.csv")
    ]
    rows = []
    for (name, text), (_, pinyin) in zip(*tables, strict=True):
        stem = Path(name).stem
        target = folder / "wav" / stem[:7] / f"{stem}.flac"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.symlink_to((REAL / "aishell3" / f"{stem}.flac").resolve())
        cells = zip(text.strip(), pinyin.split(), strict=False)
        rows.append(f"{stem}.wav\t" + " ".join(f"{char} {cell}" for char, cell in cells))
    (folder / "content.txt").write_text("\n".join(rows), "utf-8")


def _base(her: _Kathleen, kept: int = 10) -> None:
    """A base voice from minutes of her and 20 of the 30 aishell3 sentences; her 4.3 minutes on top; the 30 again."""
    out, minutes = her.out, float(os.environ.get("MEMORIAL_BENCH_BASE_MINUTES", "10"))
    with _scratch("base") as folder:
        _mandarin_corpus(folder / "zh")
        spoken = read_part(Part(layout="aishell3", folder=folder / "zh", licence="Apache-2.0", source="AISHELL-3"))
        manifest = {
            "model": "bench-base-1", "licence": "CC-BY-4.0", "source": "trained by the benchmark",
            "parts": [
                {"layout": "ljspeech", "folder": str(REAL / "kathleen"), "licence": "CC0-1.0", "source": "kathleen",
                 "minutes": minutes, "leave_out": [path.stem for path, _ in her.pairs[TEST]]},
                {"layout": "aishell3", "folder": str(folder / "zh"), "licence": "Apache-2.0", "source": "AISHELL-3",
                 "leave_out": [item.path.stem for item in spoken[:kept]]},
            ],
        }  # fmt: skip
        (folder / "corpus.yaml").write_text(json.dumps(manifest), "utf-8")
        earlier = folder / "seconds.txt"  # of a run that was cut off
        before, started = float(earlier.read_text() if earlier.is_file() else 0), time.process_time()
        card = train_base(
            folder / "corpus.yaml", folder / "out", "cpu",
            save_checkpoint=lambda: _spent(earlier, before + time.process_time() - started),
        )  # fmt: skip
        out["voice.tier1.base_s"] = before + time.process_time() - started
        out["voice.tier1.base_minutes"] = card["minutes"]
        base = Base.load(folder / "out" / "model.safetensors")
        out["voice.tier1.base_mb"] = (folder / "out" / "model.safetensors").stat().st_size / 1e6
        chunks = sorted((folder / "out" / "checkpoints" / "prepared").glob("00-*"))
        hers = place_all([utterance for chunk in chunks for utterance in Corpus.load(chunk).utterances])
    _tones(base, spoken, kept, out)
    _keep(out)
    for minutes in FINE_TUNED:
        name = f"_{minutes:g}min" if minutes else ""
        if f"voice.tier1.similarity{name}" in _kept():
            continue
        corpus = Corpus(Language.EN_US, tuple(_first(hers, minutes * 60 or 1e9)))
        model, out[f"voice.tier1.train_s{name}"] = _train(corpus, base)
        waves = [line.wave for line in _speak(model, her.texts)]
        out[f"voice.tier1.minutes{name}"] = corpus.seconds / 60
        out[f"voice.tier1.wer{name}"] = her.ear.word_error_rate(waves, her.texts)
        out[f"voice.tier1.similarity{name}"] = her.ear.likeness(waves, her.person)
        _say(f"tier 1{name}: {out[f'voice.tier1.wer{name}']:.3f} {out[f'voice.tier1.similarity{name}']:.3f}")
        _keep(out)
    _stranger(her, base)


def _first(utterances: Sequence[Utterance], seconds: float) -> Iterator[Utterance]:
    """Utterances from the first on, until `seconds` are full."""
    for utterance in utterances:
        if seconds <= 0:
            return
        seconds -= utterance.seconds
        yield utterance


def _stranger(her: _Kathleen, base: Base) -> None:
    """Somebody the base voice has never heard: the man of grid-s1, who only says commands, from 20 and 60 clips, with
    what he says of the first twenty test sentences judged."""
    out, texts = her.out, her.texts[:20]
    with _grid_pairs() as (pairs, _):
        him = her.ear.person([clean(read_wave(path)) for path, _ in pairs[GRID_ENROL]])
        for name, count in (("_20clips", 20), ("", len(pairs))):
            for tier, ground in (("tier1", base), ("tier0", None)):
                if f"voice.grid_{tier}.similarity_open{name}" in _kept():
                    continue
                model, corpus, _, _ = _learn(pairs[:count], ground)
                waves = [line.wave for line in _speak(model, texts)]
                out[f"voice.grid_{tier}.minutes{name}"] = corpus.seconds / 60
                out[f"voice.grid_{tier}.wer_open{name}"] = her.ear.word_error_rate(waves, texts)
                out[f"voice.grid_{tier}.similarity_open{name}"] = her.ear.likeness(waves, him)
                _say(" ".join(f"{key} {value:.3f}" for key, value in out.items() if key.endswith(f"_open{name}")))
                _keep(out)


def _tones(base: Base, spoken: list[Spoken], kept: int, out: dict[str, float]) -> None:
    """Tone accuracy of the aishell3 sentences: the recordings, the base voice, and the base voice's unseen ones."""
    voice = base.voice(next(name for name in base.speakers if name.startswith("zh")))
    recordings: list[Utterance] = []
    made = []
    with Espeak() as espeak:
        reads = with_pinyin(FrontEnd(espeak).words, spoken)
        for item in spoken:
            recordings += prepare_reading([item.path], {item.path.stem: item.text}, Language.ZH_CN, espeak, reads)
            timed, frames = say_row(voice, spoken_row(reads(item.text, Language.ZH_CN)))
            made.append(syllables(timed, analyse(voice.sound(frames), PitchRange())))
    natural = [syllables(utterance.timed, utterance.frames) for utterance in place_all(recordings)]
    judge = ToneJudge.fit([one for group in natural for one in group])
    out["voice.zh_tones_natural"] = left_out_accuracy(natural)
    out["voice.zh_tones"] = judge.accuracy([one for group in made for one in group])
    out["voice.zh_tones_unseen"] = judge.accuracy([one for group in made[:kept] for one in group])
    _say(" ".join(f"{key} {value:.2f}" for key, value in out.items() if "zh_tones" in key))


def _vocoder(her: _Kathleen) -> None:
    """WORLD and the GAN vocoder copying ten recordings that neither has seen, over a stated time on one core."""
    seconds = float(os.environ.get("MEMORIAL_BENCH_VOCODER_S", "300"))
    out = her.out
    corpus, _ = _prepare(her.pairs[TRAIN])
    learn, unseen = corpus.utterances[10:], corpus.utterances[:10]
    mean, std = statistics(learn)
    _copied("world", resynthesise, unseen, out)
    with tempfile.TemporaryDirectory() as scratch:
        recipe = VocoderRecipe(steps=100_000, warm=200, batch=2, frames=120)
        run = VocoderRun(learn, mean, std, recipe, Path(scratch) / "vocoder.safetensors", seed=1)
        spent = 0.0
        for part in (0.1, 0.3, 1.0):
            began = time.process_time()
            run.train(until=_after(part * seconds - spent))
            spent += time.process_time() - began
            _copied(f"gan_at_{round(part * seconds)}s" if part < 1 else "gan", run.vocoder().sound, unseen, out)
            run.generator.train()
        out["voice.vocoder_s"], out["voice.vocoder_steps"] = spent, float(run.step)
        started = time.process_time()
        run.vocoder().sound(unseen[0].frames)
        out["voice.vocoder_rtf"] = (time.process_time() - started) / unseen[0].seconds


def _after(seconds: float) -> Callable[[], bool]:
    """Whether so much CPU time has gone since this was asked for."""
    end = time.process_time() + seconds
    return lambda: time.process_time() > end


def _copied(name: str, sound: Callable[[Frames], Wave], unseen: Sequence[Utterance], out: dict[str, float]) -> None:
    """How far copies of recordings are from them: spectral distance, cepstral distortion, PESQ."""
    copies = [sound(u.frames) for u in unseen]
    out[f"voice.copy_distance_{name}"] = copy_distances(sound, unseen)
    out[f"voice.copy_mcd_{name}"] = float(
        np.mean(
            [frame_distortion(u.frames, analyse(copy, PitchRange())) for u, copy in zip(unseen, copies, strict=True)]
        )
    )
    if (heard := _pesq([(u.wave, copy) for u, copy in zip(unseen, copies, strict=True)])) is not None:
        out[f"voice.copy_pesq_{name}"] = heard
    _say(" ".join(f"{key} {value:.3f}" for key, value in out.items() if key.endswith(f"_{name}")))


def _clip_sound(path: Path) -> Wave:
    """The sound of a film clip at 24 kHz."""
    import av

    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    sound = np.concatenate(frames, axis=1)
    scale = np.float32(32768) if sound.dtype == np.int16 else np.float32(1)
    return resample(sound.astype(np.float32).mean(axis=0) / scale, int(rate), RATE)


def _command(path: Path) -> str:
    """The words of a GRID clip from its time table."""
    words = [line.split()[2] for line in path.with_suffix(".align").read_text("utf-8").splitlines()]
    return " ".join(word for word in words if word not in {"sil", "sp"})


@contextmanager
def _grid_pairs() -> Iterator[tuple[Pairs, list[Path]]]:
    """The clips of grid-s1 that are learned from, as sounds with their words, and all of them in the order of use."""
    clips = sorted((REAL / "grid-s1").glob("*.mpg"))
    clips = [clips[number] for number in np.random.default_rng(0).permutation(len(clips))]
    with tempfile.TemporaryDirectory() as scratch:
        pairs: Pairs = []
        for path in clips[GRID_TRAIN]:
            target = Path(scratch) / f"{path.stem}.wav"
            write_wave(target, _clip_sound(path))
            pairs.append((target, _command(path)))
        yield pairs, clips


def _grid(her: _Kathleen) -> None:
    ear, out, kathleen, texts = her.ear, her.out, her.person, her.texts
    with _grid_pairs() as (pairs, clips):
        commands = [_command(path) for path in clips[GRID_TEST]]
        model, _, _, out["voice.grid_train_s"] = _learn(pairs)
        enrolled = [ear.person([clean(read_wave(path)) for path, _ in pairs[GRID_ENROL]])]
    enrolled += [
        ear.person([clean(_clip_sound(path))])
        for path in sorted((REAL / "others").glob("*.mpg"))
        if path.stem != "bbaf2n"  # he is the man of grid-s1
    ]
    said = {
        "_natural": [clean(_clip_sound(path)) for path in clips[GRID_TEST]],
        "": [line.wave for line in _speak(model, commands)],
        "_open": [line.wave for line in _speak(model, texts[:20])],
    }
    for name, waves in said.items():
        cosines = np.array([[ear.embed(wave) @ one for one in enrolled] for wave in waves])
        out[f"voice.grid_nearest{name}"] = float((cosines.argmax(axis=1) == 0).mean())
        out[f"voice.grid_similarity{name}"] = float(cosines[:, 0].mean())
        out[f"voice.grid_similarity_others{name}"] = float(cosines[:, 1:].max(axis=1).mean())
        _say(f"grid-s1{name}: nearest to himself in {out[f'voice.grid_nearest{name}']:.2f}")
    out["voice.wer_grid_commands"] = ear.word_error_rate(said[""], commands)
    out["voice.wer_grid_commands_natural"] = ear.word_error_rate(said["_natural"], commands)
    out["voice.wer_wrong_speaker"] = ear.word_error_rate(said["_open"], texts[:20])
    out["voice.similarity_wrong_speaker"] = ear.likeness(said["_open"], kathleen)


def run() -> dict[str, float]:
    """The ``voice.*`` figures of the parts asked for; empty when the material is not there."""
    if not (REAL / "kathleen" / "metadata.csv").is_file():
        return {}
    asked = os.environ.get("MEMORIAL_BENCH_VOICE", "").replace(",", " ").split() or list(PARTS)
    if unknown := set(asked) - {*PARTS, *ON_REQUEST}:
        raise SystemExit(
            f"no part {', '.join(sorted(unknown))} of the voice; one of {', '.join((*PARTS, *ON_REQUEST))}"
        )
    torch.set_num_threads(1)
    out = _standing() if os.environ.get("MEMORIAL_BENCH_VOICE") else {}
    if "front" in asked and (REAL / "aishell3" / "metadata_pinyin.csv").is_file():
        out |= agreement(REAL / "aishell3")
        _say(f"Mandarin readings agree in {out['voice.zh_agreement']:.3f} of the table")
    if set(asked) - {"front"}:
        _speech(asked, out)
    return {key: round(value, 4) for key, value in out.items()}


def _standing() -> dict[str, float]:
    """The figures of an earlier run, and those that a run cut off has kept."""
    found = json.loads(FIGURES.read_text("utf-8")) if FIGURES.is_file() else {}
    return dict(found.get("voice", {}).get("figures", {})) | _kept()


def _kept() -> dict[str, float]:
    kept = os.environ.get("MEMORIAL_BENCH_SCRATCH")
    path = Path(kept) / "figures.json" if kept else None
    return dict(json.loads(path.read_text("utf-8"))) if path and path.is_file() else {}


def _keep(out: dict[str, float]) -> None:
    """Put the figures so far where `_standing` finds them."""
    if kept := os.environ.get("MEMORIAL_BENCH_SCRATCH"):
        Path(kept).mkdir(parents=True, exist_ok=True)
        (Path(kept) / "figures.json").write_text(json.dumps(out), "utf-8")


def _speech(asked: list[str], out: dict[str, float]) -> None:
    her = _Kathleen(_Ear(), out)
    parts: dict[str, Callable[[], None]] = {
        "peers": lambda: _peers(her), "person": lambda: _person(her), "minute": lambda: _minute(her),
        "grid": lambda: _grid(her), "words": lambda: _words(_voice(her), out), "base": lambda: _base(her),
        "vocoder": lambda: _vocoder(her),
    }  # fmt: skip
    for name, part in parts.items():
        if name in asked:
            part()
            _keep(out)
    for name in ("", "_1min"):
        if {f"voice.wer{name}", "voice.wer_natural"} <= out.keys():
            out[f"voice.wer_above_natural{name}"] = out[f"voice.wer{name}"] - out["voice.wer_natural"]
