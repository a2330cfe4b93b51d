"""What a text front-end hands on: words as the script writes them, with their phones and the pause after."""

from dataclasses import dataclass

from memorial_tasks.domain.words import Language
from memorial_tasks.voice.phones import Phone

PAUSE_NONE, PAUSE_SHORT, PAUSE_LONG = 0, 1, 2  # nothing, comma, end of sentence


@dataclass(frozen=True)
class Word:
    """`text` as in the script without surrounding punctuation (several phones of one number share one word);
    `phones` in order; `pause` one of PAUSE_*; `question` true in a sentence that ends with a question mark."""

    text: str
    phones: tuple[Phone, ...]
    language: Language
    pause: int = PAUSE_NONE
    question: bool = False
