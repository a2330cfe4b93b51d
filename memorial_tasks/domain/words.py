"""The closed vocabularies of the house (DESIGN section 5), as enums."""

from enum import StrEnum


class Purpose(StrEnum):
    """What a film may be used for, from the narrowest to the widest."""

    FAMILY_PRIVATE = "family_private"
    CEREMONY = "ceremony"
    THERAPY = "therapy"
    PUBLIC_MEMORIAL = "public_memorial"
    FILM = "film"
    COMMERCIAL = "commercial"

    @property
    def breadth(self) -> int:
        """Position on the ladder; a larger number reaches more people."""
        return list(Purpose).index(self)


class Modality(StrEnum):
    """What of the person is remade. Each needs a consent item of its own."""

    FACE = "face"
    VOICE = "voice"


class Emotion(StrEnum):
    """The emotions a script line can ask for."""

    NEUTRAL = "neutral"
    WARM = "warm"
    HAPPY = "happy"
    SAD = "sad"
    CALM = "calm"
    PROUD = "proud"
    GRATEFUL = "grateful"


class Language(StrEnum):
    """Languages the voice speaks."""

    ZH_CN = "zh-CN"
    EN_US = "en-US"


class OrderState(StrEnum):
    """Where an order stands. The reason beside it says why."""

    SUBMITTED = "submitted"
    RUNNING = "running"
    IN_REVIEW = "in_review"
    DELIVERED = "delivered"
    REFUSED = "refused"  # consent does not cover it
    BLOCKED = "blocked"  # a quality gate said no
    REJECTED = "rejected"  # a human reviewer said no
    FAILED = "failed"  # a technical failure after all retries
    FROZEN = "frozen"  # an objection is open
    CANCELLED = "cancelled"
    WITHDRAWN = "withdrawn"  # consent was taken back
    ERASED = "erased"

    @property
    def final(self) -> bool:
        """True when no run may move the order on without a new decision by a person."""
        return self not in {OrderState.SUBMITTED, OrderState.RUNNING, OrderState.IN_REVIEW}


class MaterialKind(StrEnum):
    """What a piece of material is."""

    PHOTO = "photo"
    VOICE = "voice"
    VIDEO = "video"
    BACKGROUND = "background"
    MUSIC = "music"
    INTERLUDE = "interlude"  # the family's photos and clips, shown between the lines as they are
    EVIDENCE = "evidence"
    TRANSCRIPT = "transcript"
    DOCUMENT = "document"  # made at intake: the script, the lexicon, the subtitles


class Severity(StrEnum):
    """How much a finding weighs: critical closes the gate, warning is shown to the reviewer."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Relation(StrEnum):
    """How a grantor is related to the subject."""

    SPOUSE = "spouse"
    SON = "son"
    DAUGHTER = "daughter"
    CHILD = "child"
    FATHER = "father"
    MOTHER = "mother"
    PARENT = "parent"
    SIBLING = "sibling"
    GRANDPARENT = "grandparent"
    GRANDCHILD = "grandchild"
    EXECUTOR = "executor"
    RIGHT_HOLDER = "right_holder"
