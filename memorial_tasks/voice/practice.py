"""Practice speech: our own phones spoken by espeak-ng, with the exact time of each.

Used to teach a model how phones follow each other before it hears the person, and as the reference of `align.by_dtw`.
The phones are handed over as phonemes (English) or pinyin (Mandarin), so espeak says exactly what our front-end wrote.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from memorial_tasks.domain.words import Language
from memorial_tasks.voice.audio import RATE, Wave, resample
from memorial_tasks.voice.espeak import Espeak, EspeakSpeech
from memorial_tasks.voice.features import FRAME
from memorial_tasks.voice.phones import FINALS, SILENCE, Phone
from memorial_tasks.voice.sequence import PhoneRow, TimedRow
from memorial_tasks.voice.text.english import arpabet
from memorial_tasks.voice.text.units import PAUSE_LONG, PAUSE_NONE, Word

_MNEMONICS = {
    "AA": "A:", "AE": "a", "AO": "O:", "AW": "aU", "AY": "aI", "EH": "E", "EY": "eI", "IH": "I", "OW": "oU",
    "OY": "OI", "UH": "U", "UW": "u:", "CH": "tS", "DH": "D", "JH": "dZ", "NG": "N", "SH": "S", "TH": "T", "Y": "j",
    "HH": "h", "ZH": "Z",
}  # fmt: skip
_LEAD = 0.08  # seconds of silence put in front of a reading
_ALONE = {
    "i": "yi", "ia": "ya", "in": "yin", "ing": "ying", "ie": "ye", "iao": "yao", "iou": "you", "ian": "yan",
    "iang": "yang", "iong": "yong", "u": "wu", "ua": "wa", "uo": "wo", "uai": "wai", "uei": "wei", "uan": "wan",
    "uen": "wen", "uang": "wang", "ueng": "weng", "v": "yu", "ve": "yue", "van": "yuan", "vn": "yun", "io": "yo",
}  # fmt: skip
_SHORT = {"iou": "iu", "uei": "ui", "uen": "un", "ii": "i", "iii": "i"}
# syllables the voice spells out as English letters, and one it can say that is nearest
_UNSAID = {"xiong": "xing", "qiong": "qing", "jiong": "jing"}


@dataclass(frozen=True)
class Reading:
    """`audio` at 24 kHz and the timed phones that are heard in it."""

    audio: Wave
    timed: TimedRow


def mnemonic(phone: Phone) -> str:
    """An ARPAbet phone as an espeak en-us phoneme name, with its stress mark."""
    mark = "'" if phone.stress >= 1 else "," if phone.stress > 0 else ""
    if phone.name == "AH":
        return mark + ("V" if phone.stress else "@")
    if phone.name == "ER":
        return mark + ("3:" if phone.stress else "3")
    if phone.name == "IY":
        return mark + ("i:" if phone.stress else "i")
    return mark + _MNEMONICS.get(phone.name, phone.name.lower())


def pinyin(initial: str, final: str, tone: int) -> str:
    """A syllable in pinyin with its tone digit (``xiong2``); the neutral tone is 5."""
    if not initial:
        spelled = _ALONE.get(final, final)
    else:
        spelled = _SHORT.get(final, final)
        if initial in {"j", "q", "x"} and spelled.startswith("v"):
            spelled = "u" + spelled[1:]
        spelled = initial + spelled
    return f"{_UNSAID.get(spelled, spelled)}{tone or 5}"


def syllables(phones: Sequence[Phone]) -> Iterator[tuple[Phone | None, Phone]]:
    """Pairs of initial (or None) and final of a Mandarin word."""
    initial: Phone | None = None
    for phone in phones:
        if phone.name in FINALS:
            yield initial, phone
            initial = None
        else:
            initial = phone


_MARKS = {PAUSE_NONE: "", 1: ",", PAUSE_LONG: "."}


def _english_text(words: Sequence[Word]) -> str:
    text, phrase = "", []
    for word in words:
        phrase.append("|".join(mnemonic(phone) for phone in word.phones))
        if word.pause:
            text += (
                f"[[{' '.join(phrase)}]]{'?' if word.question and word.pause == PAUSE_LONG else _MARKS[word.pause]} "
            )
            phrase = []
    return text + (f"[[{' '.join(phrase)}]]" if phrase else "")


def _mandarin_text(words: Sequence[Word]) -> str:
    parts = []
    for word in words:
        spoken = [pinyin(i.name if i else "", f.name, f.tone) for i, f in syllables(word.phones)]
        parts.append(" ".join(spoken) + _MARKS[word.pause])
    return " ".join(parts)


_Event = tuple[float, Phone, int]  # start in seconds, phone, word or -1


def _english_events(speech: EspeakSpeech, words: Sequence[Word], first: int) -> list[_Event] | None:
    wanted = [(phone, first + number) for number, word in enumerate(words) for phone in word.phones]
    events: list[_Event] = []
    position = 0
    for number, (start, ipa) in enumerate(speech.phones):
        end = speech.phones[number + 1][0] if number + 1 < len(speech.phones) else start
        heard = arpabet(ipa)
        if not heard:
            if end - start > 0.045:
                events.append((start, Phone(SILENCE), -1))
            continue
        share = (end - start) / len(heard)
        for part, phone in enumerate(heard):
            following = wanted[position][0].name if position < len(wanted) else ""
            if phone.name == "R" and following != "R" and position and wanted[position - 1][0].name == "ER":
                continue  # espeak links ER to a vowel by an R of its own
            if position >= len(wanted):
                return None
            events.append((start + part * share, *wanted[position]))
            position += 1
    return events if position == len(wanted) else None


def _mandarin_events(speech: EspeakSpeech, words: Sequence[Word], first: int) -> list[_Event] | None:
    pairs = [(pair, first + number) for number, word in enumerate(words) for pair in syllables(word.phones)]
    if len(speech.words) != len(pairs) or any(ipa == "(en)" for _, ipa in speech.phones):
        return None
    end = speech.phones[-1][0] if speech.phones else 0.0
    events: list[_Event] = []
    for number, ((initial, final), word) in enumerate(pairs):
        start = speech.words[number][0]
        stop = speech.words[number + 1][0] if number + 1 < len(pairs) else end
        inside = [(at, ipa) for at, ipa in speech.phones if start - 0.002 <= at < stop - 0.002]
        sounds = [at for at, ipa in inside if ipa]
        if not sounds or (initial and len(sounds) < 2):
            return None
        if initial:
            events.append((sounds[0], initial, word))
        events.append((sounds[1] if initial else sounds[0], final, word))
        rest = [at for at, ipa in inside if not ipa and at > sounds[-1]]
        if rest and stop - rest[0] > 0.1:
            events.append((rest[0], Phone(SILENCE), -1))
    return events


def read_words(
    espeak: Espeak, words: Sequence[Word], *, variant: str = "", rate: int = 160, pitch: int = 50, pitch_range: int = 50
) -> Reading | None:
    """`words` spoken by espeak, language by language; None when espeak's phones cannot be matched to ours.

    `variant` is an espeak voice variant (``f3``), `rate` words a minute, `pitch` and `pitch_range` 0..99.
    """
    waves: list[Wave] = [np.zeros(int(_LEAD * RATE), np.float32)]
    events: list[_Event] = []
    done, offset = 0, _LEAD
    for language, group in groupby(words, key=lambda word: word.language):
        run = list(group)
        mandarin = language == Language.ZH_CN
        voice = ("cmn" if mandarin else "en-us") + (f"+{variant}" if variant else "")
        text = _mandarin_text(run) if mandarin else _english_text(run)
        speech = espeak.say(text, voice, rate=rate, pitch=pitch, pitch_range=pitch_range)
        found = _mandarin_events(speech, run, done) if mandarin else _english_events(speech, run, done)
        if not found:
            return None
        wave = resample(speech.audio, speech.rate, RATE)
        if done + len(run) < len(words) and run[-1].pause == PAUSE_NONE:  # no closing silence inside a phrase
            wave = wave[: int(speech.phones[-1][0] * RATE)]
        events += [(start + offset, phone, word) for start, phone, word in found]
        waves.append(wave)
        offset += wave.size / RATE
        done += len(run)
    return _reading(np.concatenate(waves), events, tuple(words))


def _reading(wave: Wave, events: list[_Event], words: tuple[Word, ...]) -> Reading:
    items: list[_Event] = [(0.0, Phone(SILENCE), -1)]
    for event in events:
        if event[1].name != SILENCE or items[-1][1].name != SILENCE:
            items.append(event)
    if items[-1][1].name != SILENCE:
        items.append((wave.size / RATE - 0.05, Phone(SILENCE), -1))
    end = min(wave.size / RATE, items[-1][0] + 0.1)
    edges = [round(start / FRAME) for start, _, _ in items] + [round(end / FRAME)]
    for index in range(1, len(edges)):
        edges[index] = max(edges[index], edges[index - 1] + 1)
    row = PhoneRow(tuple(p for _, p, _ in items), tuple(w for _, _, w in items), words)
    audio = wave[: round(edges[-1] * FRAME * RATE)]
    return Reading(
        np.pad(audio, (0, round(edges[-1] * FRAME * RATE) - audio.size)), TimedRow(row, np.array(edges, np.int32))
    )
