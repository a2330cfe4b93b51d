"""The consent record: what was consented to, by whom, on which evidence, and how it is signed.

A record is never changed: every change is a new version that names the one before. What happened to it (given,
objected, withdrawn ...) are events, in `consent.events`; the state is derived from them.

Two layers make a record provable after erasure. The **body** holds everything and is stored encrypted under the
subject's key. The **skeleton** holds no name, no date of birth, no digest of a personal file, only pseudonyms, scope
and times, and a commitment: SHA-256 over the canonical body, which contains 32 random bytes. The signature covers the
skeleton, therefore every byte of the body too; when the key is destroyed, skeleton and signature still verify and the
commitment is noise.

Fields: ISO/IEC TS 27560:2023 (mandatory ones all present), extended for a consent on behalf of a person who died.
"""

import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any, Literal

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import AwareDatetime, Field, StringConstraints, ValidationError

from memorial_tasks.consent.keys import SigningKey
from memorial_tasks.domain.order import EvidenceKind, Order, Paper, Record
from memorial_tasks.domain.words import Modality, Purpose, Relation
from memorial_tasks.errors import IntegrityError

ADULT_YEARS = 18
RETENTION = timedelta(days=3 * 365)  # of the record's skeleton after the consent ended

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

# Which words in a paper's file name say what it is, where the order does not. The person who approves the evidence
# confirms it with their eyes.
_EVIDENCE_WORDS: tuple[tuple[EvidenceKind, tuple[str, ...]], ...] = (
    ("rank", ("rank", "no-first", "sole-heir", "sole_heir", "顺位", "无第一")),
    ("guardian", ("guardian", "监护")),
    ("lifetime_will", ("will", "lifetime", "arrangement", "遗嘱", "生前", "授权")),
    ("death", ("death", "deceased", "cremation", "死亡", "注销", "火化")),
    (
        "kinship",
        ("kinship", "household", "hukou", "birth", "marriage", "family", "户口", "亲属", "关系", "结婚", "出生"),
    ),
    ("identity", ("identity", "id-card", "id_card", "idcard", "passport", "身份")),
    ("notary", ("notar", "公证")),
)


def evidence_kind(path: str) -> EvidenceKind:
    """What kind of paper a file name announces; ``other`` when it says nothing."""
    name = path.rsplit("/", 1)[-1].lower()
    return next((kind for kind, words in _EVIDENCE_WORDS if any(word in name for word in words)), "other")


def kind_of(paper: Paper, otherwise: EvidenceKind = "other") -> EvidenceKind:
    """What the order says a paper is, else what its file name announces, else `otherwise`."""
    if paper.kind is not None:
        return paper.kind
    announced = evidence_kind(paper.file)
    return otherwise if announced == "other" else announced


def rank_of(relation: Relation) -> int:
    """Rank among near relatives after Civil Code (CN) Art. 994: 1 spouse, children, parents; 2 other near relatives;
    0 for executors and right holders, who stand outside the order of kin."""
    if relation in _FIRST:
        return 1
    return 0 if relation in {Relation.EXECUTOR, Relation.RIGHT_HOLDER} else 2


_FIRST = {
    Relation.SPOUSE,
    Relation.SON,
    Relation.DAUGHTER,
    Relation.CHILD,
    Relation.FATHER,
    Relation.MOTHER,
    Relation.PARENT,
}
PARENTS = {Relation.FATHER, Relation.MOTHER, Relation.PARENT}


class RecordedArrangement(Record):
    """What the person decided while alive, with the digests of the papers that show it."""

    kind: Literal["none", "permits", "forbids", "names_person"]
    purposes: tuple[Purpose, ...] = ()  # empty with `permits`: all
    party_id: str = ""  # the person named
    evidence: tuple[Sha256, ...] = ()


class RecordedSubject(Record):
    """The person who died, as far as the rules need to know them."""

    name: str
    born: date
    died: date
    domicile: str
    minor_at_death: bool
    public_figure: bool
    arrangement: RecordedArrangement


class Party(Record):
    """A person in the record. `party_id` is a pseudonym that means nothing outside this consent."""

    party_id: str
    name: str
    relation: Relation | None
    rank: int
    adult: bool = True
    contact: str = ""
    position: Literal["grants", "agreed", "notified", "unreachable", "objected"] = "grants"
    evidence: tuple[Sha256, ...] = ()


class Evidence(Record):
    """One paper: what kind it is and the digest of the file that was shown."""

    kind: EvidenceKind
    sha256: Sha256
    party_id: str = ""


class RecordedThirdParty(Record):
    """A living person in the material, and whether their consent (their guardian's for a minor) was shown."""

    party_id: str
    name: str
    minor: bool
    evidence: tuple[Sha256, ...] = ()


class RecordedCapture(Record):
    """Material whose own date (EXIF, container) lies after the death. `reason` is what the grantor states about it."""

    sha256: Sha256
    captured: date
    reason: str = ""  # empty: nothing was stated


class Notice(Record):
    """The privacy notice the grantor was shown (ISO/IEC TS 27560 `privacy_notice`)."""

    version: str
    language: str
    sha256: Sha256
    shown_at: AwareDatetime


class Items(Record):
    """What was ticked, one by one. A modality without its own item is not consented to."""

    face: bool
    voice: bool
    script: bool
    music: bool
    third_party_material: bool

    def covers(self, modality: Modality) -> bool:
        """True when the modality's own item was ticked."""
        return self.face if modality is Modality.FACE else self.voice


class Scope(Record):
    """For whom, where and how the film may be used."""

    purposes: tuple[Purpose, ...]
    audience: str
    channels: tuple[str, ...]
    territory: tuple[str, ...]
    recipients: tuple[str, ...]
    edit_rights: Literal["none", "subtitles"] = "subtitles"
    max_copies: int = 50
    training_reuse: Literal[False] = False  # the material of one person never trains another model
    practitioner: str = ""
    stop: str = ""
    registration: str = ""


class Controller(Record):
    """The studio (ISO/IEC TS 27560 `pii_controllers`): a party with id, name, address, contact, type and role."""

    name: str = "Memorial Studio"
    address: str = "as stated in the contract"
    contact: str = "the studio's consent office"
    party_id: str = "controller"
    party_type: Literal["organisation"] = "organisation"
    party_role: Literal["pii_controller"] = "pii_controller"


class ConsentRecord(Record):
    """One version of one consent, complete. Contains personal data: store it sealed, never log it."""

    schema_version: Literal["memorial-consent-1", "memorial-consent-2"] = "memorial-consent-2"
    consent_id: str
    version: int = Field(ge=1)
    supersedes: str = ""  # commitment of the version before
    order_id: str
    subject_id: str
    created_at: AwareDatetime
    salt: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    subject: RecordedSubject
    grantors: tuple[Party, ...] = Field(min_length=1)
    co_kin: tuple[Party, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    third_parties: tuple[RecordedThirdParty, ...] = ()
    controller: Controller = Controller()
    notice: Notice
    language: str
    jurisdictions: tuple[str, ...] = Field(min_length=1)
    lawful_basis: Literal["consent"] = "consent"
    collection_method: str = "signed order with papers, entered by an operator"
    processing_method: str = "training of a face and a voice model, synthesis of one labelled film"
    processing_locations: tuple[str, ...]
    storage_locations: tuple[str, ...]
    items: Items
    scope: Scope
    script_sha256: Sha256
    material_sha256: tuple[Sha256, ...] = ()
    dated_later: tuple[RecordedCapture, ...] = ()
    valid_from: AwareDatetime
    valid_until: AwareDatetime
    retention_until: AwareDatetime
    withdrawal_method: str = (
        "at any time, without giving a reason: tell the studio, or `memorial consent withdraw ORDER`; "
        "a copy already delivered cannot be recalled"
    )
    impact_assessment: str = "sensitive data: kept at least three years"


# The fields that may stay readable for ever: pseudonyms, scope and times.
_OPEN_FIELDS = (
    "schema_version",
    "consent_id",
    "version",
    "supersedes",
    "order_id",
    "subject_id",
    "created_at",
    "language",
    "jurisdictions",
    "lawful_basis",
    "items",
    "valid_from",
    "valid_until",
    "retention_until",
)


def canonical(value: Any) -> bytes:
    """RFC 8785 canonical JSON bytes of plain JSON data."""
    return rfc8785.dumps(value)


def plain(record: ConsentRecord) -> dict[str, Any]:
    """The record as plain JSON data, as it is signed. A record of schema 1 is without the fields that came with schema
    2, so that it keeps the bytes it was signed with."""
    full = record.model_dump(mode="json")
    if record.schema_version == "memorial-consent-1":
        del full["dated_later"]
        full["controller"] = {name: full["controller"][name] for name in ("name", "address", "contact")}
    return full


def body_bytes(record: ConsentRecord) -> bytes:
    """The canonical bytes of the whole record."""
    return canonical(plain(record))


def parse_body(body: bytes) -> ConsentRecord:
    """The record in `body`. Raises `IntegrityError` when the bytes are not a canonical record."""
    try:
        record = ConsentRecord.model_validate_json(body)
    except ValidationError as error:
        raise IntegrityError("a stored consent record cannot be read", remedy="stop and call the registrar") from error
    if body_bytes(record) != body:
        raise IntegrityError("a stored consent record is not in canonical form", remedy="stop and call the registrar")
    return record


def skeleton(record: ConsentRecord) -> dict[str, Any]:
    """What remains readable after erasure: scope, times and a commitment to the rest."""
    full = plain(record)
    kept = {name: full[name] for name in _OPEN_FIELDS}
    kept["purposes"] = full["scope"]["purposes"]
    kept["grantor_ranks"] = sorted(party.rank for party in record.grantors)
    kept["evidence_kinds"] = sorted(paper.kind for paper in record.evidence)
    kept["notice"] = full["notice"]["version"]
    kept["commitment"] = sha256(body_bytes(record)).hexdigest()
    return kept


class Signature(Record):
    """An Ed25519 signature (RFC 8032) in hex, and the id of the key that made it."""

    alg: Literal["Ed25519"] = "Ed25519"
    kid: str
    value: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]


def sign_bytes(payload: bytes, key: SigningKey) -> Signature:
    """Signs bytes with a key of the studio."""
    return Signature(kid=key.kid, value=key.private.sign(payload).hex())


def verify_bytes(payload: bytes, signature: Signature, trusted: Mapping[str, Ed25519PublicKey], what: str) -> None:
    """Raises `IntegrityError` unless a trusted key made `signature` over exactly these bytes."""
    key = trusted.get(signature.kid)
    if key is None:
        raise IntegrityError(f"{what} is signed by an unknown key", remedy="stop and call the registrar")
    try:
        key.verify(bytes.fromhex(signature.value), payload)
    except InvalidSignature as error:
        raise IntegrityError(f"{what} was changed after it was signed", remedy="stop and call the registrar") from error


@dataclass(frozen=True)
class SignedRecord:
    """A record as it is stored: canonical body (None once the subject's key is destroyed), skeleton, signature."""

    body: bytes | None
    skeleton: bytes
    signature: Signature


def sign_record(record: ConsentRecord, key: SigningKey) -> SignedRecord:
    """Signs a record with the registrar's key."""
    bones = canonical(skeleton(record))
    return SignedRecord(body_bytes(record), bones, sign_bytes(bones, key))


def verify_record(signed: SignedRecord, trusted: Mapping[str, Ed25519PublicKey]) -> ConsentRecord | None:
    """The verified record, or None when only the skeleton is left and it verifies.

    Raises:
        IntegrityError: any byte of body, skeleton or signature differs from what was signed.
    """
    verify_bytes(signed.skeleton, signed.signature, trusted, "the consent record")
    if signed.body is None:
        return None
    record = parse_body(signed.body)
    if canonical(skeleton(record)) != signed.skeleton:
        raise IntegrityError("the consent record was changed after it was signed", remedy="stop and call the registrar")
    return record


def _years_later(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:  # 29 February
        return day.replace(year=day.year + years, month=3, day=1)


def _dated_later(order: Order, captured: Mapping[str, tuple[str, date]]) -> tuple[RecordedCapture, ...]:
    stated = {one.file: one.reason for one in order.consent.dated_later}
    return tuple(
        RecordedCapture(sha256=digest, captured=day, reason=stated.get(file, ""))
        for file, (digest, day) in sorted(captured.items())
        if day > order.subject.died
    )


_AUDIENCE: Mapping[Purpose, tuple[str, tuple[str, ...]]] = {
    Purpose.FAMILY_PRIVATE: ("the family", ("family_link",)),
    Purpose.CEREMONY: ("the guests of the ceremony", ("family_link", "ceremony_screen")),
    Purpose.THERAPY: ("one person under care of a practitioner", ("practitioner_link",)),
    Purpose.PUBLIC_MEMORIAL: ("everybody who visits the memorial page", ("family_link", "public_page")),
    Purpose.FILM: ("the audience of a film", ("family_link", "film_release")),
    Purpose.COMMERCIAL: ("the public", ("family_link", "advertising")),
}
NOTICE_VERSION = "2026-11"
NOTICE_TEXT = (
    "A face model and a voice model of the person who died are made from the material you give us, for the purpose you "
    "chose and no other. The film is visibly and invisibly marked as made by AI. Other close relatives are told and "
    "may object; an objection stops everything until a person has decided. You may withdraw at any time, without "
    "giving a reason: models and material are then destroyed. A copy already delivered cannot be recalled."
)


def script_digest(texts: Sequence[str]) -> str:
    """SHA-256 over the spoken texts in order (canonical JSON list): the digest consent and review bind to."""
    return sha256(canonical(list(texts))).hexdigest()


def record_from_order(
    order: Order,
    evidence: Mapping[str, str],
    script_sha256: str,
    material_digests: Sequence[str],
    *,
    subject_id: str,
    now: datetime,
    consent_id: str | None = None,
    version: int = 1,
    supersedes: str = "",
    salt: str | None = None,
    captured: Mapping[str, tuple[str, date]] | None = None,
    controller: Controller | None = None,
    locations: Sequence[str] = ("the studio's own machines",),
) -> ConsentRecord:
    """The consent record an order document amounts to.

    Args:
        order: the validated order.
        evidence: path of each paper as the order names it -> SHA-256 of the file.
        script_sha256: `script_digest` of the approved script.
        material_digests: SHA-256 of every piece of material.
        subject_id: the pseudonym of the subject.
        now: time of entry, time zone aware.
        captured: material file as the order names it -> its SHA-256, and the day its camera wrote into it. Only what
            lies after the death is kept.
        controller: the studio, as its settings name it.

    Raises:
        KeyError: a paper the order names has no digest.
    """
    salt = salt or secrets.token_hex(32)

    def pseudonym(name: str, relation: str) -> str:
        return "p-" + sha256(canonical([salt, name, relation])).hexdigest()[:16]

    def digests(given: Sequence[Paper]) -> tuple[str, ...]:
        return tuple(evidence[paper.file] for paper in given)

    def papers_of(party: str, given: Sequence[Paper], otherwise: EvidenceKind = "other") -> list[Evidence]:
        return [
            Evidence(kind=kind_of(paper, otherwise), sha256=evidence[paper.file], party_id=party) for paper in given
        ]

    papers: list[Evidence] = []
    grantors: list[Party] = []
    for person in order.grantors:
        party = pseudonym(person.name, person.relation)
        grantors.append(
            Party(
                party_id=party,
                name=person.name,
                relation=person.relation,
                rank=rank_of(person.relation),
                adult=person.adult,
                contact=person.contact or "",
                evidence=digests(person.evidence),
            )
        )
        papers += papers_of(party, person.evidence)
    co_kin = []
    for relative in order.co_kin:
        party = pseudonym(relative.name, relative.relation)
        co_kin.append(
            Party(
                party_id=party,
                name=relative.name,
                relation=relative.relation,
                rank=rank_of(relative.relation),
                position=relative.position,
                evidence=digests(relative.evidence),
            )
        )
        papers += papers_of(party, relative.evidence)
    subject, terms = order.subject, order.consent
    arrangement = subject.lifetime_arrangement
    papers += [Evidence(kind="lifetime_will", sha256=digest) for digest in digests(arrangement.evidence)]
    named = next((party.party_id for party in grantors if party.name == arrangement.person), "")
    third = tuple(
        RecordedThirdParty(
            party_id=pseudonym(other.name, "third party"),
            name=other.name,
            minor=other.minor,
            evidence=digests(other.evidence),
        )
        for other in terms.third_parties
    )
    for depicted, other in zip(third, terms.third_parties, strict=True):
        papers += papers_of(depicted.party_id, other.evidence, "third_party")
    audience, channels = _AUDIENCE[order.purpose]
    until = now + timedelta(days=round(terms.months * 30.4375))
    return ConsentRecord(
        consent_id=consent_id or str(uuid.uuid4()),
        version=version,
        supersedes=supersedes,
        order_id=order.order,
        subject_id=subject_id,
        created_at=now,
        salt=salt,
        subject=RecordedSubject(
            name=subject.name,
            born=subject.born,
            died=subject.died,
            domicile=subject.domicile,
            minor_at_death=subject.died < _years_later(subject.born, ADULT_YEARS),
            public_figure=subject.public_figure,
            arrangement=RecordedArrangement(
                kind=arrangement.kind,
                purposes=arrangement.purposes,
                party_id=named,
                evidence=digests(arrangement.evidence),
            ),
        ),
        grantors=tuple(grantors),
        co_kin=tuple(co_kin),
        evidence=tuple(papers),
        third_parties=third,
        controller=controller or Controller(),
        notice=Notice(
            version=NOTICE_VERSION,
            language=order.language,
            sha256=sha256(NOTICE_TEXT.encode()).hexdigest(),
            shown_at=now,
        ),
        language=order.language,
        jurisdictions=order.jurisdictions,
        processing_locations=tuple(locations),
        storage_locations=tuple(locations),
        items=Items(
            face=terms.face, voice=terms.voice, script=True, music=terms.music, third_party_material=bool(third)
        ),
        scope=Scope(
            purposes=(order.purpose,),
            audience=terms.audience or audience,
            channels=terms.channels or channels,
            territory=terms.territory or order.jurisdictions,
            recipients=terms.recipients or ("the grantors",),
            practitioner=terms.practitioner or "",
            stop=terms.stop or "",
            registration=terms.registration or "",
        ),
        script_sha256=script_sha256,
        material_sha256=tuple(sorted(set(material_digests))),
        dated_later=_dated_later(order, captured or {}),
        valid_from=now,
        valid_until=until,
        retention_until=until + RETENTION,
    )
