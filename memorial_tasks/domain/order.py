"""The order document: what a family asks for, as it is written in ORDER.yaml.

Only shape and values are checked here; files, faces, voices and consent are checked at intake,
where every problem is gathered before anything is stored.
"""

import re
from datetime import date
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from memorial_tasks.domain.words import Emotion, Language, Purpose, Relation

ORDER_ID = r"[a-z0-9-]{3,64}"


def valid_order_id(value: str) -> bool:
    """True for an id that is safe as a path part, a run id and a bucket prefix."""
    return re.fullmatch(ORDER_ID, value) is not None


def _inside_the_order(value: str) -> str:
    path = PurePosixPath(value)
    if not value or path.is_absolute() or ".." in path.parts or "\\" in value or "\0" in value:
        raise ValueError("must be a path inside the order's folder, without '..'")
    return value


RelativePath = Annotated[str, AfterValidator(_inside_the_order)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Record(BaseModel):
    """Base of every record: unknown keys are an error, instances never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


EvidenceKind = Literal[
    "death", "kinship", "identity", "rank", "lifetime_will", "notary", "guardian", "third_party", "objection", "other"
]


class Paper(Record):
    """A paper that proves something. A plain path is enough where the file's name says what it is."""

    file: RelativePath
    kind: EvidenceKind | None = None  # None: as the file's name says

    @model_validator(mode="before")
    @classmethod
    def _plain_path(cls, value: Any) -> Any:
        return {"file": value} if isinstance(value, str) else value


class LifetimeArrangement(Record):
    """What the person decided while alive. `forbids` beats everybody."""

    kind: Literal["none", "permits", "forbids", "names_person"] = "none"
    purposes: tuple[Purpose, ...] = ()
    person: str | None = None
    evidence: tuple[Paper, ...] = ()


class Subject(Record):
    """The person who died."""

    name: Text
    born: date
    died: date
    domicile: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")] = "CN"
    public_figure: bool = False
    lifetime_arrangement: LifetimeArrangement = LifetimeArrangement()

    @field_validator("died")
    @classmethod
    def _in_order_of_time(cls, died: date, known: ValidationInfo) -> date:
        born = known.data.get("born")
        if born and died < born:
            raise ValueError("lies before born")
        return died


class Grantor(Record):
    """A person who gives consent."""

    name: Text
    relation: Relation
    evidence: tuple[Paper, ...] = Field(min_length=1)
    adult: bool = True
    contact: str | None = None


class CoKin(Record):
    """Another close relative and where they stand."""

    name: Text
    relation: Relation
    position: Literal["agreed", "notified", "unreachable", "objected"] = "notified"
    evidence: tuple[Paper, ...] = ()


class ThirdParty(Record):
    """A living person who can be recognised in the material. `evidence` is their consent, or their guardian's."""

    name: Text
    minor: bool = False
    evidence: tuple[Paper, ...] = ()


class DatedLater(Record):
    """Material whose own date lies after the death, and what the grantor states about it: a photographed print, a scan
    of an older picture, a camera with a wrong clock. Two persons must look at it before anything is made."""

    file: RelativePath
    reason: Text


class ConsentTerms(Record):
    """What the grantor signed beyond the order itself: the items ticked one by one, for how long, for whom."""

    face: bool = True
    voice: bool = True
    music: bool = True
    months: int = Field(default=12, ge=1, le=120)  # always finite
    audience: Text | None = None  # None: what the purpose means
    channels: tuple[Text, ...] = ()
    territory: tuple[Text, ...] = ()
    recipients: tuple[Text, ...] = ()
    practitioner: Text | None = None  # therapy: licence number of the practitioner
    stop: Text | None = None  # therapy: how the viewer stops
    registration: Text | None = None  # right holder's registration, e.g. New York Secretary of State
    third_parties: tuple[ThirdParty, ...] = ()
    dated_later: tuple[DatedLater, ...] = ()


class InterludeMark(Record):
    """A photo or clip out of `materials.interludes`, shown in the pause after a line."""

    interlude: RelativePath  # the file's name there
    seconds: float = Field(default=4.0, ge=2, le=60)


class ScriptLine(Record):
    """One line to be spoken, and what is shown after it."""

    text: Text
    emotion: Emotion | None = None  # None: proposed from the text
    intensity: float = Field(default=0.6, ge=0, le=1)
    pause: float = Field(default=0.45, ge=0, le=10)  # seconds of silence after the line
    pace: float = Field(default=1.0, ge=0.6, le=1.6)  # 1.0 is the person's own tempo
    gaze: Literal["camera", "away", "down"] = "camera"
    interludes: tuple[InterludeMark, ...] = ()


class ApprovedAnswer(Record):
    """A question the visitor of the memorial page can choose, and the lines of the script that answer it (from 0)."""

    question: Text
    lines: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)


class Materials(Record):
    """Where the material lies, relative to the order file. A folder or one file each."""

    photos: RelativePath | None = None
    voice: RelativePath | None = None
    video: RelativePath | None = None
    background: RelativePath | None = None
    music: RelativePath | None = None
    interludes: RelativePath | None = None  # photos and clips that the script's marks name
    own_voice: tuple[Text, ...] = ()  # recordings and videos, by file name, in which nobody but the person speaks


Format = Literal["mp4", "page", "vr180", "vertical", "audio", "stills"]


class Deliver(Record):
    """The renditions asked for."""

    size: Literal["720p", "1080p", "2160p"] = "1080p"
    fps: Literal[25, 30] = 25
    subtitles: tuple[Language, ...] = ()  # tracks that a player shows or hides
    burn: tuple[Language, ...] = Field(default=(), max_length=2)  # drawn into the picture for good
    formats: tuple[Format, ...] = ("mp4",)


class Order(Record):
    """One order of one family about one subject."""

    order: Annotated[str, StringConstraints(pattern=f"^{ORDER_ID}$")]
    subject: Subject
    grantors: tuple[Grantor, ...] = Field(min_length=1)
    co_kin: tuple[CoKin, ...] = ()
    purpose: Purpose
    jurisdictions: tuple[str, ...] = Field(default=("CN",), min_length=1)
    consent: ConsentTerms = ConsentTerms()
    language: Language
    script: tuple[ScriptLine, ...] | RelativePath
    translation: dict[Language, tuple[Text, ...]] = Field(default_factory=dict)  # subtitle lines, one a script line
    answers: tuple[ApprovedAnswer, ...] = ()  # for the memorial page: a quiet conversation made of this script alone
    lexicon: dict[str, str] = Field(default_factory=dict)  # names the family pronounced for us
    materials: Materials
    deliver: Deliver = Deliver()
    promised: date | None = None
    priority: int = Field(default=0, ge=0, le=9)

    @model_validator(mode="before")
    @classmethod
    def _marks_follow_their_line(cls, given: Any) -> Any:
        """``{interlude: FILE, seconds: N}`` may stand between the lines; it belongs to the line before it."""
        script = given.get("script") if isinstance(given, dict) else None
        if not isinstance(script, list | tuple) or not any(_is_mark(entry) for entry in script):
            return given
        lines: list[Any] = []
        for entry in script:
            if not _is_mark(entry):
                lines.append(entry)
            elif not lines or not isinstance(lines[-1], dict):
                raise ValueError("script: an interlude comes after a line")
            else:
                lines[-1] = {**lines[-1], "interludes": [*lines[-1].get("interludes", []), entry]}
        return {**given, "script": lines}


def _is_mark(entry: Any) -> bool:
    return isinstance(entry, dict) and "interlude" in entry and "text" not in entry
