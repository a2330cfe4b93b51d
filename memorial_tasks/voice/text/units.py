"""What a text front-end hands on: words as the script writes them, with their phones and the pause after."""

from dataclasses import dataclass

from memorial_tasks.domain.words import Language
from memorial_tasks.voice.phones import Phone

PAUSE_NONE, PAUSE_SHORT, PAUSE_LONG = 0, 1, 2  # nothing, comma, end of sentence


@dataclass(frozen=True)
class Style:
    """How the script's markup wants words said: `rate` factor on tempo, `pitch` semitones, `gain` dB, `emphasis`
    -1 (reduced) .. 1 (strong)."""

    rate: float = 1.0
    pitch: float = 0.0
    gain: float = 0.0
    emphasis: float = 0.0


PLAIN = Style()


@dataclass(frozen=True)
class Word:
    """`text` as in the script without surrounding punctuation (several phones of one number share one word);
    `phones` in order; `pause` one of PAUSE_*; `question` true in a sentence that ends with a question mark; `style`
    from markup; `before` and `after` the seconds of rest that markup asks for around the word (None: as usual)."""

    text: str
    phones: tuple[Phone, ...]
    language: Language
    pause: int = PAUSE_NONE
    question: bool = False
    style: Style = PLAIN
    before: float | None = None
    after: float | None = None
