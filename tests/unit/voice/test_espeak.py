"""The espeak-ng process: a separate program, and no chance in what it says."""

from memorial_tasks.voice.espeak import Espeak


def test_the_same_words_have_the_same_bytes_in_every_process() -> None:
    """Practice speech decides the voice, so a result key would lie if it came out otherwise each time."""
    spoken = []
    for _ in range(2):
        with Espeak() as espeak:
            espeak.say("a first sentence to move on its chance", "en-us")
            spoken.append(espeak.say("breath and hiss", "en-us+whisper").audio.tobytes())
    assert spoken[0] == spoken[1]
