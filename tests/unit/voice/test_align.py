"""Phone times agree with the truth that espeak-ng reports of its own speech."""

from dataclasses import replace

import numpy as np

from memorial_tasks.domain.words import Language
from memorial_tasks.voice.align import SphinxAligner, by_dtw, warp_path
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.practice import Reading, pinyin, read_words, syllables
from memorial_tasks.voice.sequence import TimedRow
from memorial_tasks.voice.text.front import FrontEnd

LINE = "My father measured each piece of wood twice, and then he cut it once."


def _word_starts(timed: TimedRow) -> list[float]:
    return [float(timed.edges[timed.row.word.index(n)]) * 0.005 for n in range(len(timed.row.words))]


def _readings(espeak: Espeak, text: str, language: Language) -> tuple[Reading, Reading]:
    words = FrontEnd(espeak).words(text, language)
    slow = read_words(espeak, words, variant="m3", rate=130, pitch=30)
    quick = read_words(espeak, words, variant="f2", rate=175, pitch=60)
    assert slow is not None
    assert quick is not None
    return slow, quick


def test_warping_carries_english_word_times_to_another_voice(espeak: Espeak) -> None:
    slow, quick = _readings(espeak, LINE, Language.EN_US)
    found, _ = by_dtw(slow.audio, quick)
    errors = np.abs(np.subtract(_word_starts(found), _word_starts(slow.timed)))
    assert np.median(errors) < 0.04
    assert errors.max() < 0.15


def test_warping_carries_mandarin_word_times_to_another_voice(espeak: Espeak) -> None:
    slow, quick = _readings(espeak, "那年冬天特别冷，院子里的水缸都结了厚厚的冰。", Language.ZH_CN)
    found, _ = by_dtw(slow.audio, quick)
    errors = np.abs(np.subtract(_word_starts(found), _word_starts(slow.timed)))
    assert np.median(errors) < 0.04
    assert errors.max() < 0.2


def test_sphinx_aligns_every_phone_or_says_no(espeak: Espeak) -> None:
    slow, _ = _readings(espeak, LINE, Language.EN_US)
    timed = SphinxAligner().align(slow.audio, slow.timed.row.words)
    if timed is not None:  # pocketsphinx refuses some generated speech
        assert [word.text for word in timed.row.words] == [word.text for word in slow.timed.row.words]
        assert np.median(np.abs(np.subtract(_word_starts(timed), _word_starts(slow.timed)))) < 0.05


def test_sphinx_says_no_to_other_words_without_breaking(espeak: Espeak) -> None:
    words = FrontEnd(espeak).words(LINE * 3, Language.EN_US)
    aligner = SphinxAligner()
    assert aligner.align(np.zeros(4800, np.float32), words) is None


def test_sphinx_says_no_to_a_word_without_phones(espeak: Espeak) -> None:
    """pocketsphinx ends the whole process over an empty pronunciation."""
    slow, _ = _readings(espeak, "We went home.", Language.EN_US)
    words = [replace(slow.timed.row.words[0], phones=()), *slow.timed.row.words[1:]]
    assert SphinxAligner().align(slow.audio, words) is None


def test_a_path_never_goes_back_and_matches_ends() -> None:
    rng = np.random.default_rng(0)
    base = np.cumsum(rng.normal(size=(80, 6)), axis=0).astype(np.float32)
    stretched = base[np.linspace(0, 79, 120).round().astype(int)]
    path, cost = warp_path(base, stretched)
    assert (np.diff(path) >= 0).all()
    assert abs(path[0]) <= 2
    assert abs(path[-1] - 119) <= 3
    assert cost < 0.3 * float(np.sqrt(((base[:, None] - stretched[None]) ** 2).mean(axis=2)).mean())


def test_every_mandarin_syllable_shape_is_spelled_back(espeak: Espeak) -> None:
    words = FrontEnd(espeak).words("女儿去学院绿色月亮有六位军人在用云居然", Language.ZH_CN)
    spelled = [pinyin(i.name if i else "", f.name, f.tone) for word in words for i, f in syllables(word.phones)]
    assert " ".join(spelled) == (
        "nv3 er2 qu4 xue2 yuan4 lv4 se4 yue4 liang5 you3 liu4 wei4 jun1 ren2 zai4 yong4 yun2 ju1 ran2"
    )
