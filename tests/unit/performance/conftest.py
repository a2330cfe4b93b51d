"""A spoken line made by program: tones for vowels, noise for hisses, silence for stops, with exact phone times."""

import numpy as np
import pytest

from memorial_tasks.domain.order import ScriptLine
from memorial_tasks.domain.timing import LineTime, PhoneTime, SpeechTiming, WordTime
from memorial_tasks.domain.words import Emotion, Language
from memorial_tasks.performance.direct import direct_script

RATE = 24000
ENGLISH = (("my", "M AY"), ("baby", "B EY B IY"), ("please", "P L IY Z"), ("feel", "F IY L"), ("warm", "W AO R M"))
CHINESE = (("妈妈", "m a m a"), ("放心", "f ang x in"), ("不怕", "b u p a"), ("回家", "h uei j ia"))


def speech(words=ENGLISH, language=Language.EN_US, emotions=(Emotion.WARM,), pause=0.6, seed=0, phone=0.09):
    """(timing, sound float32, sample rate, plan): the words once for each emotion, `pause` seconds apart."""
    random = np.random.default_rng(seed)
    phones, spoken, lines, sound = [], [], [], []
    clock = 0.0

    def silence(length):
        nonlocal clock
        phones.append(PhoneTime(phone="SIL", start=clock, end=clock + length))
        sound.append(np.zeros(round(length * RATE), np.float32))
        clock += length

    silence(0.2)
    for index, emotion in enumerate(emotions):
        start = clock
        for number, (text, names) in enumerate(words):
            begin = clock
            for name in names.split():
                vowel = name[0].upper() in "AEIOU"
                length = phone * (1.6 if vowel else 0.8)
                clock_in = np.arange(round(length * RATE)) / RATE
                pitch = 120 + 25 * np.sin(number * 1.7)
                loud = (0.12 + 0.1 * (number % 3 == 1)) * (1.0 if vowel else 0.15)
                wave = sum(np.sin(2 * np.pi * pitch * k * clock_in) / k for k in range(1, 12)) * loud
                sound.append((wave + 0.002 * random.standard_normal(len(wave))).astype(np.float32))
                phones.append(PhoneTime(phone=name, start=clock, end=clock + length, stress=float(vowel)))
                clock += length
            spoken.append(WordTime(text=text, start=begin, end=clock))
        text = ("" if language is Language.ZH_CN else " ").join(word for word, _ in words)
        lines.append(
            LineTime(index=index, text=text, language=language, emotion=emotion, intensity=0.8, start=start, end=clock)
        )
        silence(pause)
    signal = np.concatenate(sound)
    timing = SpeechTiming(
        sample_rate=RATE,
        duration=len(signal) / RATE,
        lines=tuple(lines),
        words=tuple(spoken),
        phones=tuple(phones),
    )
    plan = direct_script([ScriptLine(text=line.text, emotion=line.emotion, intensity=0.8) for line in lines], language)
    return timing, signal, RATE, plan


@pytest.fixture(scope="session")
def say():
    return speech


@pytest.fixture(scope="session")
def chinese():
    return CHINESE
