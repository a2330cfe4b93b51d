"""One way in for both languages: text of a line -> words with phones."""

import re
from collections.abc import Mapping

from memorial_tasks.domain.words import Language
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.sequence import mark_questions
from memorial_tasks.voice.text.english import Pronouncer, english_words
from memorial_tasks.voice.text.units import Word

_HAN = re.compile(r"[㐀-䶿一-鿿豈-﫿〇]")


class FrontEnd:
    """Turns script lines into words and phones. `lexicon` maps a name to how the family says it."""

    def __init__(self, espeak: Espeak, lexicon: Mapping[str, str] | None = None) -> None:
        self.lexicon = dict(lexicon or {})
        self._english = Pronouncer(espeak, self.lexicon)

    def words(self, text: str, language: Language) -> list[Word]:
        """Words of `text`. Chinese characters are read as Mandarin and Latin words as English in either language;
        `language` decides how numbers and signs are read. Empty when nothing can be spoken."""
        if language == Language.ZH_CN or _HAN.search(text):
            from memorial_tasks.voice.text.mandarin import mandarin_words

            words = mandarin_words(text, self._english, self.lexicon)
        else:
            words = english_words(text, self._english)
        return mark_questions(words, text)
