"""The rules of the gates: what each measure may be, how much it weighs, and what the family could bring instead.

A rule becomes a Great Expectations expectation class of its own (`gate.expectation`), so that results and
Data Docs speak of ``expect_photo_blurred``, not of a column between two numbers. A per-material rule never closes
a gate: the material is left out and the set is judged by what remains.
"""

from dataclasses import dataclass

from memorial_tasks.domain.words import Severity
from memorial_tasks.quality import photos, voice


@dataclass(frozen=True)
class Rule:
    """`least <= column <= most` for every row that has the measure."""

    code: str  # photo.blurred
    column: str
    severity: Severity
    what: str  # what is wrong when it does not hold
    remedy: str
    least: float | None = None
    most: float | None = None

    @property
    def class_name(self) -> str:
        """ExpectNotPhotoBlurred: the rule's code as an expectation class."""
        return "ExpectNot" + "".join(part.title() for part in self.code.replace(".", "_").split("_"))


@dataclass(frozen=True)
class Suite:
    """The rules over one table. Rows are materials, or one row for a whole set or film."""

    name: str
    title: str
    rules: tuple[Rule, ...]


_C, _W, _I = Severity.CRITICAL, Severity.WARNING, Severity.INFO

PHOTOS = Suite(
    "photos",
    "Each photo and each frame taken from a video",
    (
        Rule("photo.no_face", "faces", _W, "no face can be found", "bring a photo with a larger, lit face", least=1),
        Rule("photo.several_faces", "faces", _W, "several faces are in it", "cut it to the person alone", most=1),
        Rule("photo.face_small", "inter_ocular", _W, "the face is too small to learn from",
             "scan the print at 600 dpi or bring a closer photo", least=photos.USABLE_INTER_OCULAR),
        Rule("photo.blurred", "sharpness", _W, "the face is blurred", "bring a sharper photo",
             least=photos.USABLE_SHARPNESS),
        Rule("photo.dark", "luma", _W, "the face is too dark", "bring a photo in better light",
             least=photos.USABLE_LUMA[0]),
        Rule("photo.bright", "luma", _W, "the face is washed out", "bring a photo without flash or scan it again",
             most=photos.USABLE_LUMA[1]),
        Rule("photo.burnt", "burnt", _I, "parts of the face are pure white", "scan it again with less exposure",
             most=0.15),
        Rule("photo.flat", "contrast", _W, "the face has hardly any contrast", "scan it again or bring another photo",
             least=photos.USABLE_CONTRAST),
        Rule("photo.side_light", "side_light", _I, "one half of the face lies in shadow", "photos in even light help",
             most=0.6),
        Rule("photo.turned_away", "turned", _W, "the face is turned away", "bring a photo that shows both eyes",
             most=photos.USABLE_YAW),
        Rule("photo.cropped", "in_frame", _W, "part of the face is cut off", "bring the uncut photo",
             least=photos.USABLE_IN_FRAME),
        Rule("photo.eyes_shut", "eyes", _I, "the eyes are shut", "it is used for blinks only", least=0.12),
        Rule("photo.grey", "grey", _I, "it is black-and-white", "a colour photo of the same years helps", most=0),
        Rule("photo.faded", "faded", _I, "the print is faded", "it is restored in contrast; a better print helps",
             most=0),
        Rule("photo.duplicate", "duplicate", _I, "it is the same picture as another", "another picture helps more",
             most=0),
        Rule("photo.other_person", "likeness", _W, "it does not resemble the other photos",
             "look whether it shows the same person; remove it if not", least=photos.LIKE_THE_REST),
    ),
)  # fmt: skip

PHOTO_SET = Suite(
    "photo_set",
    "All photos together",
    (
        Rule("photo_set.none_usable", "usable", _C, "not one photo can be learned from",
             "bring at least one sharp photo of the person alone, both eyes visible", least=1),
        Rule("photo_set.few", "usable", _W, "there are few usable photos: the likeness will be limited",
             "bring 5 to 20 photos of the same years, or a home video", least=5),
        Rule("photo_set.no_frontal", "frontal", _W, "no photo looks into the camera",
             "bring one taken from the front", least=1),
        Rule("photo_set.small", "best_inter_ocular", _W, "the largest face has few pixels: the film will look soft",
             "scan a print at 600 dpi or bring a close portrait", least=60),
        Rule("photo_set.mouth_closed", "mouth_open", _I, "hardly any photo shows the mouth open",
             "photos of the person speaking, laughing or smiling with teeth make speech look right", least=2),
        Rule("photo_set.one_angle", "yaw_range", _I, "all photos show the same side",
             "photos from slightly left and right help", least=15),
    ),
)  # fmt: skip

VOICE = Suite(
    "voice",
    "Each recording",
    (
        Rule("voice.silent", "speech", _W, "hardly any speech is in it", "bring a recording in which the person speaks",
             least=0.3),
        Rule("voice.noisy", "snr", _W, "the noise is nearly as loud as the voice", "bring a quieter recording",
             least=voice.USABLE_SNR),
        Rule("voice.some_noise", "snr", _I, "there is audible noise", "a quieter recording sounds better", least=20),
        Rule("voice.clipped", "clipped", _W, "it is overdriven", "bring a recording that does not distort",
             most=voice.USABLE_CLIPPED),
        Rule("voice.some_clipping", "clipped", _I, "the loudest places are cut off", "a softer recording helps",
             most=0.001),
        Rule("voice.muffled", "bandwidth", _W, "nearly all consonants are missing", "bring the original recording",
             least=voice.USABLE_BANDWIDTH),
        Rule("voice.telephone", "bandwidth", _I, "it sounds like a telephone",
             "a recording by microphone sounds fuller", least=5000),
        Rule("voice.quiet", "loudness", _I, "it is very quiet", "it is raised; noise is raised with it", least=-45),
        Rule("voice.dc", "dc", _I, "it has a constant offset", "it is removed", most=0.05),
        Rule("voice.dropouts", "dropouts", _W, "there are gaps in the middle of words", "copy it again from its source",
             most=2),
        Rule("voice.hum", "hum", _I, "mains hum can be heard", "a copy made from battery power is cleaner", most=14),
        Rule("voice.music", "music", _W, "music seems to play under the voice", "bring a part without music", most=0.5),
        Rule("voice.other_speaker", "likeness", _W, "the voice differs from the other recordings",
             "look whether the same person speaks; remove it if not", least=voice.LIKE_THE_REST),
    ),
)  # fmt: skip

VOICE_SET = Suite(
    "voice_set",
    "All recordings together",
    (
        Rule("voice_set.too_little", "usable_speech", _C, "less than 20 seconds of usable speech",
             "bring more recordings of the person speaking clearly and alone", least=20),
        Rule("voice_set.little", "usable_speech", _W, "less than two minutes of usable speech: the voice will be rough",
             "every minute more makes the voice more like the person, up to about an hour", least=120),
        Rule("voice_set.no_text", "written_speech", _W, "hardly any recording comes with its text",
             "write down what is said (voice/transcripts.csv)", least=20),
    ),
)  # fmt: skip

FILM = Suite(
    "film",
    "The finished film",
    (
        Rule("film.too_short", "longer", _C, "it ends before everything is said", "compose and seal it again",
             least=-0.7),
        Rule("film.too_long", "longer", _W, "it is longer than its speech and cards", "look at its end", most=3.0),
        Rule("film.picture_and_sound", "av_difference", _W, "picture and sound are not equally long", "seal it again",
             most=0.35),
        Rule("film.black", "black_share", _C, "much of it is black", "animate and compose it again", most=0.25),
        Rule("film.black_run", "black_longest", _W, "it is black for seconds", "look at it there", most=2.0),
        Rule("film.frozen", "frozen_longest", _C, "the picture stands still while the person speaks",
             "animate it again",
             most=1.0),
        Rule("film.no_face", "speech_faces", _C, "no single face is seen while the person speaks", "animate it again",
             least=0.5),
        Rule("film.face_lost", "speech_faces", _W, "the face is lost at times", "look at the contact sheet", least=0.9),
        Rule("film.loudness_off", "loudness", _C, "it is far from the loudness agreed", "compose it again",
             least=-22, most=-10),
        Rule("film.loudness", "loudness", _W, "its loudness is not within 1.5 of -16 LUFS", "compose it again",
             least=-17.5, most=-14.5),
        Rule("film.true_peak", "true_peak", _W, "the peaks are too high for some players", "compose it again",
             most=-0.5),
        Rule("film.clipped", "clipped", _W, "the sound is cut off at its loudest", "compose it again", most=0.001),
        Rule("film.silence", "silence_longest", _W, "nothing can be heard for a long time", "listen there", most=6.0),
        Rule("film.silent", "silence_share", _C, "most of it is silent", "speak and compose it again", most=0.8),
        Rule("film.not_heard", "speech_heard", _C, "the voice is not heard where words should be", "speak it again",
             least=0.5),
        Rule("film.hardly_heard", "speech_heard", _W, "some words may not be heard as speech", "listen to it",
             least=0.8),
        Rule("film.misplaced", "speech_misplaced", _W, "the voice does not come when it is planned", "compose it again",
             most=0.35),
        Rule("film.lips", "sync_r", _W, "the mouth hardly follows the voice", "animate it again", least=0.25),
        Rule("film.lips_late", "sync_late", _W, "the mouth comes early or late", "compose it again", most=0.2),
        Rule("film.lips_open", "bilabial_closed", _I, "the lips do not close at m, b and p", "animate it again",
             most=0.6),
        Rule("film.words", "word_errors", _I, "a speech recogniser misses many words", "listen to it", most=0.6),
    ),
)  # fmt: skip

SUITES = {suite.name: suite for suite in (PHOTOS, PHOTO_SET, VOICE, VOICE_SET, FILM)}
