"""When what is said: the link between the voice and the face."""

from memorial_tasks.domain.order import Record
from memorial_tasks.domain.words import Emotion, Language


class PhoneTime(Record):
    """One phone. ARPAbet without stress for English (``AA``, ``HH``), pinyin initials and finals
    without tone for Mandarin (``zh``, ``iang``), ``SIL`` for silence. Times in seconds of the speech track."""

    phone: str
    start: float
    end: float
    stress: float = 0.0  # 0 unstressed .. 1 primary stress or full tone


class WordTime(Record):
    """One word, or one Chinese character group, as it is written in the script."""

    text: str
    start: float
    end: float


class LineTime(Record):
    """One script line in the speech track."""

    index: int
    text: str
    language: Language
    emotion: Emotion
    intensity: float
    start: float
    end: float
    source: str = "synthesized"  # or "recorded": the person's own recording


class SpeechTiming(Record):
    """Timing of a whole speech track, in order of time, without overlaps."""

    sample_rate: int
    duration: float
    lines: tuple[LineTime, ...]
    words: tuple[WordTime, ...]
    phones: tuple[PhoneTime, ...]


class DirectedLine(Record):
    """One line of the direction plan: what to say and how. A person may edit it before speaking."""

    index: int
    text: str
    language: Language
    emotion: Emotion
    intensity: float
    pace: float
    pause: float  # seconds of silence after the line
    gaze: str
    pitch_shift: float = 0.0  # semitones added to the person's mean
    pitch_range: float = 1.0  # factor on the person's own range
    energy: float = 1.0  # factor on loudness
    reasons: tuple[str, ...] = ()  # why this emotion was proposed


class Interlude(Record):
    """A photo or a clip of the family, shown in the pause after the line `after`. `name` is the material's id."""

    after: int
    name: str
    seconds: float


class DirectionPlan(Record):
    """The plan for a whole script. A line's `pause` already holds the time of the interludes after it."""

    language: Language
    lines: tuple[DirectedLine, ...]
    interludes: tuple[Interlude, ...] = ()


# The film around the speech track: a second of `SpeechTiming` is shown LEAD_IN seconds later in the film.
LEAD_IN = 0.8
TAIL = 1.5
# The card with the person's name and years, after the tail of every film whose order gives a name.
CLOSING_CARD = 3.0

# What sealing puts before and after the film: in the sealed file everything comes OPENING_CARD seconds later
# (rounded up to a whole frame; the seal step's metrics hold the exact figures as lead_in_s and tail_s).
OPENING_CARD = 3.0
END_CARD = 2.5
