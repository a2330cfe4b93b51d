"""A recording of the person whose words are known: when each phone, word and the line itself is heard in it.

What forced alignment finds here is what synthesis knows of its own speech, so a face is moved by an original recording
exactly as by a made one.
"""

from collections.abc import Mapping

from memorial_tasks.domain.timing import LineTime, PhoneTime, SpeechTiming, WordTime
from memorial_tasks.domain.words import Emotion, Language
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.voice.align import SphinxAligner, by_dtw
from memorial_tasks.voice.audio import RATE, Wave
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.features import FRAME
from memorial_tasks.voice.practice import read_words
from memorial_tasks.voice.prepare import plausible
from memorial_tasks.voice.segments import speech_spans
from memorial_tasks.voice.sequence import TimedRow
from memorial_tasks.voice.synthesize import add_times, without_gaps
from memorial_tasks.voice.text.front import FrontEnd
from memorial_tasks.voice.text.units import Word

LONGEST = 60.0  # seconds that are aligned in one go
MARGIN = 0.10  # seconds of quiet kept around the speech


def recording_timing(
    wave: Wave,
    text: str,
    language: Language,
    lexicon: Mapping[str, str] | None = None,
    emotion: Emotion = Emotion.NEUTRAL,
    intensity: float = 0.6,
) -> SpeechTiming:
    """The timing of one line that is heard in `wave` (float32 mono at 24 kHz) and says `text`.

    Raises `InputRefused` when the recording is longer than a minute, when nothing in `text` can be spoken and when the
    words are not those that are heard.
    """
    if wave.size / RATE > LONGEST:
        raise _refused("too_long", f"the recording is longer than {LONGEST:.0f} s", "cut it into lines")
    with Espeak() as espeak:
        words = FrontEnd(espeak, lexicon).line(text, language)
        first, last = _heard(wave)
        timed = _times(espeak, wave[first:last], words) if words and last > first else None
    if timed is None:
        raise _refused("other_words", "the words given are not those heard in the recording", "write what is said")
    said: list[WordTime] = []
    phones: list[PhoneTime] = []
    add_times(timed, first / RATE, said, phones)
    line = LineTime(
        index=0, text=text, language=language, emotion=emotion, intensity=intensity, start=said[0].start,
        end=said[-1].end, source="recorded",
    )  # fmt: skip
    duration = wave.size / RATE
    covered = tuple(without_gaps(phones, duration))
    return SpeechTiming(sample_rate=RATE, duration=duration, lines=(line,), words=tuple(said), phones=covered)


def _heard(wave: Wave) -> tuple[int, int]:
    """First and last sample of the speech, with a little quiet around: a second of silence, a breath or a chair before
    the first word would be warped into it."""
    spans = speech_spans(wave, RATE)
    if not spans:
        return 0, 0
    return max(0, int((spans[0][0] - MARGIN) * RATE)), min(wave.size, int((spans[-1][1] + MARGIN) * RATE))


def _times(espeak: Espeak, wave: Wave, words: list[Word]) -> TimedRow | None:
    """English by the trained aligner, everything else, and what that one cannot, by the warped reading."""
    timed = None
    if all(word.language == Language.EN_US for word in words):
        timed = SphinxAligner().align(wave, words)
    if timed is None and (reading := read_words(espeak, words)) is not None:
        timed, _ = by_dtw(wave, reading)
    if timed is None or not plausible(timed) or timed.edges[-1] * FRAME > wave.size / RATE + 0.1:
        return None
    return timed


def _refused(code: str, what: str, remedy: str) -> InputRefused:
    return InputRefused([Problem(f"recording.{code}", what, remedy, field="script")])
