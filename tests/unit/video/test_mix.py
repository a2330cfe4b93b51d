"""The sound: one loudness for every film, peaks held, music out of the way of the voice."""

import numpy as np
import pyloudnorm
import pytest
import soundfile

from memorial_tasks.domain.timing import LEAD_IN, TAIL
from memorial_tasks.errors import InputRefused
from memorial_tasks.video.loudness import LoudnessMeter, TruePeakMeter
from memorial_tasks.video.mix import CEILING, RATE, Clip, plan_mix, speech_spans


def whole(mix):
    return np.concatenate(list(mix.blocks()))


def decibels(part):
    return 10 * np.log10(np.mean(np.square(part.astype(np.float64))) + 1e-20)


@pytest.mark.parametrize("frequency", [80, 997, 6000])
def test_the_loudness_meter_agrees_with_pyloudnorm(frequency):
    clock = np.arange(5 * RATE) / RATE
    sound = (0.2 * np.sin(2 * np.pi * frequency * clock) * (clock % 1 < 0.7)).astype(np.float32)
    stereo = np.stack([sound, 0.5 * sound], 1)
    meter = LoudnessMeter(RATE)
    for block in np.array_split(stereo, 7):
        meter.feed(block)
    assert meter.integrated() == pytest.approx(
        pyloudnorm.Meter(RATE).integrated_loudness(stereo.astype(float)), abs=0.15
    )


def test_a_full_scale_tone_of_997_hz_on_one_channel_is_minus_3_lufs():
    clock = np.arange(3 * RATE) / RATE
    tone = np.sin(2 * np.pi * 997 * clock).astype(np.float32)
    meter = LoudnessMeter(RATE)
    meter.feed(np.stack([tone, 0 * tone], 1))
    assert meter.integrated() == pytest.approx(-3.01, abs=0.05)


def test_true_peaks_between_samples_are_seen():
    clock = np.arange(RATE)
    wave = (0.9 * np.sin(np.pi / 2 * clock + np.pi / 4)).astype(np.float32)  # samples reach only .636
    meter = TruePeakMeter()
    for block in np.array_split(np.stack([wave, wave], 1), 5):
        meter.feed(block)
    assert meter.decibels() == pytest.approx(20 * np.log10(0.9), abs=0.25)


@pytest.mark.parametrize("loud", [0.01, 0.1, 0.5])
def test_every_film_is_equally_loud_and_never_over_the_ceiling(tmp_path, timing, speech_file, loud):
    mix = plan_mix(speech_file(tmp_path / "s.wav", 4.0, loud), timing(4.0))
    sound = whole(mix)
    assert mix.loudness == pytest.approx(-16, abs=0.3)
    assert pyloudnorm.Meter(RATE).integrated_loudness(sound.astype(float)) == pytest.approx(-16, abs=0.4)
    peak = TruePeakMeter()
    peak.feed(sound)
    assert peak.decibels() <= CEILING + 0.1
    assert np.abs(sound).max() <= 10 ** (CEILING / 20) + 1e-3


def test_shouted_peaks_are_caught_and_the_film_is_still_loud_enough(tmp_path, timing):
    import soundfile

    random = np.random.default_rng(0)
    wave = 0.02 * random.standard_normal(4 * 24000)
    wave[::2400] += 0.9
    soundfile.write(tmp_path / "s.wav", wave.astype(np.float32), 24000)
    mix = plan_mix(tmp_path / "s.wav", timing(4.0))
    assert mix.true_peak <= CEILING + 0.05
    assert mix.loudness > -19


def test_the_mix_is_as_long_as_the_film_and_starts_after_the_lead_in(tmp_path, timing, speech_file):
    mix = plan_mix(speech_file(tmp_path / "s.wav", 2.0), timing(2.0))
    sound = whole(mix)
    assert len(sound) == round((LEAD_IN + 2.0 + TAIL) * RATE)
    onset = np.flatnonzero(np.abs(sound[:, 0]) > 0.01)[0] / RATE
    assert onset == pytest.approx(LEAD_IN, abs=0.02)
    assert np.abs(sound[int((LEAD_IN + 2.1) * RATE) :]).max() < 1e-3


def test_the_mix_can_be_drawn_again_and_is_the_same(tmp_path, timing, speech_file, music_file):
    mix = plan_mix(speech_file(tmp_path / "s.wav", 2.0), timing(2.0), music_file(tmp_path / "m.wav", 1.5))
    assert np.array_equal(whole(mix), whole(mix))


def test_music_goes_down_12_decibels_under_the_voice_and_comes_back(tmp_path, timing, speech_file, music_file):
    spoken = timing(6.0, texts=("One two three four.", "Five six seven."), gap=2.5)
    quiet = tmp_path / "s.wav"
    speech_file(quiet, 6.0, loud=1e-7)  # the envelope follows the words, so the music can be measured alone
    mix = plan_mix(quiet, spoken, music_file(tmp_path / "m.wav", 4.0))
    sound = whole(mix)
    (_, first_end), (second, _) = speech_spans(spoken)

    def level(start, end):
        return decibels(sound[int((start + LEAD_IN) * RATE) : int((end + LEAD_IN) * RATE)])

    open_, under = level(first_end + 0.6, second - 0.2), level(0.3, first_end - 0.2)
    assert open_ - under == pytest.approx(12, abs=0.7)
    assert level(second + 0.06, second + 0.2) - open_ == pytest.approx(-12, abs=1), "the attack is too slow"
    assert level(first_end + 0.05, first_end + 0.15) < open_ - 5, "the release is too fast"


def test_music_stays_below_the_voice(tmp_path, timing, speech_file, music_file):
    voice = speech_file(tmp_path / "s.wav", 4.0)
    music = music_file(tmp_path / "m.wav", 3.0)
    spoken = timing(4.0)
    with_music, alone = plan_mix(voice, spoken, music), plan_mix(voice, spoken)
    under = decibels(whole(with_music)[: int(0.7 * RATE)])
    assert under > -60, "no music in the lead-in"
    difference = whole(with_music)[int(1.5 * RATE) : int(4 * RATE)] / with_music.gain
    difference = difference - whole(alone)[int(1.5 * RATE) : int(4 * RATE)] / alone.gain
    assert decibels(difference) < decibels(whole(alone)[int(1.5 * RATE) : int(4 * RATE)] / alone.gain) - 14


def test_short_music_is_repeated_without_a_hole(tmp_path, timing, speech_file, music_file):
    speech = tmp_path / "s.wav"
    speech_file(speech, 9.0, loud=1e-7)
    sound = whole(plan_mix(speech, timing(9.0), music_file(tmp_path / "m.wav", 3.5)))
    body = sound[int(2.0 * RATE) : int(9.0 * RATE), 0]
    levels = [decibels(part) for part in np.array_split(body, 28)]
    assert max(levels) - min(levels) < 4


def test_music_fades_in_and_out(tmp_path, timing, speech_file, music_file):
    speech = tmp_path / "s.wav"
    speech_file(speech, 3.0, loud=1e-7)
    sound = whole(plan_mix(speech, timing(3.0), music_file(tmp_path / "m.wav", 3.0)))
    assert np.abs(sound[:200]).max() < 0.01
    assert np.abs(sound[-200:]).max() < 0.01


def test_silence_stays_silence(tmp_path, timing):
    import soundfile

    soundfile.write(tmp_path / "s.wav", np.zeros(48000, np.float32), 24000)
    mix = plan_mix(tmp_path / "s.wav", timing(2.0))
    assert np.abs(whole(mix)).max() == 0


def test_what_is_no_sound_is_refused_by_name(tmp_path, timing, speech_file):
    (tmp_path / "m.wav").write_bytes(b"RIFF lies")
    with pytest.raises(InputRefused, match=r"m\.wav"):
        plan_mix(speech_file(tmp_path / "s.wav", 1.0), timing(1.0), tmp_path / "m.wav")


def test_a_clip_is_heard_in_its_time_under_the_voice_and_the_music_gives_way(tmp_path, timing, speech_file, music_file):
    speech = speech_file(tmp_path / "speech.wav", 2.0)
    music = music_file(tmp_path / "music.wav", 3.0)
    clock = np.arange(5 * RATE) / RATE
    soundfile.write(tmp_path / "clip.wav", 0.02 * np.sin(2 * np.pi * 3000 * clock), RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(5 * RATE), RATE)
    given = {"speech": speech, "timing": timing(2.0), "music": music, "tail": 8.0}
    mix = plan_mix(**given, clips=[Clip(tmp_path / "clip.wav", 4.0, 7.0)])
    sound = whole(mix)
    assert mix.loudness == pytest.approx(-16, abs=0.3)
    assert mix.true_peak <= -2.0

    def tone(start, end):
        part = sound[round(start * RATE) : round(end * RATE), 0]
        return float(np.abs(np.exp(-2j * np.pi * 3000 * np.arange(len(part)) / RATE) @ part) / len(part))

    assert tone(5.0, 6.0) > 30 * max(tone(3.0, 3.9), tone(7.1, 8.1)), "only while it is shown"
    assert tone(4.0, 4.1) < 0.3 * tone(5.0, 6.0), "it comes in softly"
    assert mix.clips[0].gain > 2, "a quiet clip is raised to the voice"
    hushed, plain = plan_mix(**given, clips=[Clip(tmp_path / "silent.wav", 4.0, 7.0)]), plan_mix(**given)
    one, other = (whole(each)[5 * RATE : 6 * RATE] / each.gain for each in (hushed, plain))
    assert decibels(one) - decibels(other) == pytest.approx(-12, abs=0.5), "the music gives way to a clip too"
    assert np.array_equal(whole(mix), sound), "the same samples every time"
