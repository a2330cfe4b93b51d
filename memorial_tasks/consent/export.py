"""A consent for other people's systems: a Kantara-style receipt for the family, DPV JSON-LD for machines.

DPV 2.3 has no word for a person who died, for kin by rank, or for a likeness or voice that is remade; those few terms
are ours (`docs/consent-vocabulary.md`), each mapped to the nearest DPV term.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from memorial_tasks.consent.events import DPV_STATUS, ConsentEvent, EventType, State, derive_state
from memorial_tasks.consent.keys import SigningKey
from memorial_tasks.consent.record import ConsentRecord, Signature, canonical, sign_bytes, skeleton, verify_bytes
from memorial_tasks.domain.words import Purpose

NAMESPACE = "urn:memorial-studio:consent:1#"
PROFILE = "https://w3id.org/dpv/schema/dpv-27560#record"

# Our purposes and the nearest DPV purpose.
_DPV_PURPOSE = dict.fromkeys(Purpose, "dpv:NonCommercialPurpose") | {Purpose.COMMERCIAL: "dpv:Advertising"}
_MODALITY_DATA = {"face": ("ms:Likeness", "pd:Picture"), "voice": ("ms:Voice", "pd:VoiceCommunicationRecording")}


def receipt(record: ConsentRecord, events: Sequence[ConsentEvent], key: SigningKey, now: datetime) -> dict[str, Any]:
    """A consent receipt in the fields of Kantara CR v1.1.0, signed; ours are below ``memorial``.

    The signature (Ed25519 over the RFC 8785 bytes of everything but ``signature``) is checked by `verify_receipt`.
    Contains names: it is for the grantor.
    """
    bones = skeleton(record)
    document: dict[str, Any] = {
        "version": "KI-CR-v1.1.0",
        "jurisdiction": ",".join(record.jurisdictions),
        "consentTimestamp": int(record.created_at.timestamp()),
        "collectionMethod": record.collection_method,
        "consentReceiptID": record.consent_id,
        "publicKey": key.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        "language": record.language.split("-")[0],
        "piiPrincipalId": record.subject_id,
        "piiControllers": [
            {
                "piiController": record.controller.name,
                "onBehalf": False,
                "contact": record.controller.contact,
                "address": record.controller.address,
            }
        ],
        "policyUrl": f"urn:memorial-studio:notice:{record.notice.version}",
        "services": [
            {
                "service": "memorial film",
                "purposes": [
                    {
                        "purpose": purpose.value,
                        "purposeCategory": ["memorial"],
                        "consentType": "EXPLICIT",
                        "piiCategory": [name for name in ("face", "voice") if getattr(record.items, name)],
                        "primaryPurpose": True,
                        "termination": record.valid_until.isoformat(),
                        "thirdPartyDisclosure": False,
                    }
                    for purpose in record.scope.purposes
                ],
            }
        ],
        "sensitive": True,
        "spiCat": ["biometric"],
        "memorial": {
            "issuedAt": now.isoformat(),
            "recordVersion": record.version,
            "orderId": record.order_id,
            "state": derive_state(events, now).value,
            "subject": {"name": record.subject.name, "died": record.subject.died.isoformat()},
            "grantors": [{"name": p.name, "relation": p.relation, "rank": p.rank} for p in record.grantors],
            "items": record.items.model_dump(),
            "scope": record.scope.model_dump(mode="json"),
            "validFrom": record.valid_from.isoformat(),
            "validUntil": record.valid_until.isoformat(),
            "retentionUntil": record.retention_until.isoformat(),
            "withdrawal": record.withdrawal_method,
            "evidence": [paper.model_dump(mode="json", exclude={"party_id"}) for paper in record.evidence],
            "scriptSha256": record.script_sha256,
            "materialSha256": list(record.material_sha256),
            "noticeSha256": record.notice.sha256,
            "recordCommitment": bones["commitment"],
            "history": [
                {"event": event.type.value, "at": event.at.isoformat(), "by": event.actor_kind} for event in events
            ],
        },
    }
    return document | {"signature": sign_bytes(canonical(document), key).model_dump()}


def verify_receipt(document: dict[str, Any], trusted: Mapping[str, Ed25519PublicKey]) -> None:
    """Raises `IntegrityError` unless the receipt is exactly as the studio issued it."""
    body = {name: value for name, value in document.items() if name != "signature"}
    verify_bytes(canonical(body), Signature.model_validate(document.get("signature")), trusted, "the consent receipt")


_CONTEXT: dict[str, Any] = {
    "dpv": "https://w3id.org/dpv#",
    "pd": "https://w3id.org/dpv/pd#",
    "ai": "https://w3id.org/dpv/ai#",
    "dct": "http://purl.org/dc/terms/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "ms": NAMESPACE,
}


def _node(kind: str, name: str) -> str:
    return f"urn:memorial-studio:{kind}:{name}"


def _time(value: datetime) -> dict[str, str]:
    return {"@type": "xsd:dateTime", "@value": value.isoformat()}


def _ref(term: str) -> dict[str, str]:
    return {"@id": term}


def dpv_document(record: ConsentRecord, events: Sequence[ConsentEvent], now: datetime) -> dict[str, Any]:
    """The consent as DPV 2.3 JSON-LD after the profile dpv-27560. Holds pseudonyms only, no name."""
    subject = _node("subject", record.subject_id)
    state = derive_state(events, now)
    data = [pair for name, pair in _MODALITY_DATA.items() if getattr(record.items, name)]
    process = {
        "@id": _node("process", record.order_id),
        "@type": "dpv:Process",
        "dpv:hasPurpose": [
            {"@id": f"ms:purpose-{purpose.value}", "@type": "dpv:Purpose", "dct:type": _ref(_DPV_PURPOSE[purpose])}
            for purpose in record.scope.purposes
        ],
        "dpv:hasPersonalData": [
            {"@id": own, "@type": ["dpv:PersonalData", "dpv:SensitivePersonalData", near]} for own, near in data
        ],
        "dpv:hasProcessing": [_ref("dpv:Collect"), _ref("dpv:Store"), _ref("ms:Remake"), _ref("dpv:Erase")],
        "ai:hasPurpose": [_ref("ai:VideoGeneration"), _ref("ai:AudioGeneration")],
        "dpv:hasLegalBasis": _ref("dpv:ExplicitlyExpressedConsent"),
        "dpv:hasStorageCondition": {
            "@type": "dpv:StorageCondition",
            "dpv:hasLocation": list(record.storage_locations),
            "dct:valid": _time(record.retention_until),
        },
        "dpv:hasRecipient": [{"@type": "dpv:Recipient", "dct:title": one} for one in record.scope.recipients],
        "dpv:hasJurisdiction": list(record.jurisdictions),
    }
    return {
        "@context": _CONTEXT,
        "@id": f"urn:uuid:{record.consent_id}",
        "@type": "dpv:ConsentRecord",
        "dct:conformsTo": _ref(PROFILE),
        "dct:identifier": record.consent_id,
        "dct:hasVersion": str(record.version),
        "dct:created": _time(record.created_at),
        "dct:language": record.language,
        "dpv:hasDataSubject": {
            "@id": subject,
            "@type": ["dpv:DataSubject", "ms:DeceasedPerson"],
            "ms:lifetimeArrangement": _ref(f"ms:arrangement-{record.subject.arrangement.kind}"),
            "ms:minorAtDeath": record.subject.minor_at_death,
        },
        "dpv:hasRepresentative": [
            {
                "@id": _node("party", party.party_id),
                "@type": ["dpv:Representative", "ms:Grantor"],
                "dpv:isRepresentativeFor": _ref(subject),
                "ms:relation": _ref(f"ms:relation-{party.relation}"),
                "ms:kinRank": party.rank,
            }
            for party in record.grantors
        ],
        "dpv:hasDataController": {"@type": "dpv:DataController", "dct:title": record.controller.name},
        "dpv:hasNotice": {
            "@type": "dpv:ConsentNotice",
            "dct:hasVersion": record.notice.version,
            "dct:language": record.notice.language,
            "ms:sha256": record.notice.sha256,
        },
        "dpv:hasConsentStatus": _ref(f"dpv:{DPV_STATUS[state]}"),
        "ms:state": _ref(f"ms:state-{state.value}"),
        "dct:valid": _time(record.valid_until),
        "dpv:hasProcess": process,
        "dpv:hasConsentControl": [_ref("dpv:WithdrawConsent"), _ref("dpv:ReaffirmConsent")],
        "ms:script": record.script_sha256,
        "dct:hasPart": [_event(event) for event in events],
    }


_EVENT_STATUS = {
    EventType.REQUESTED: State.REQUESTED,
    EventType.GIVEN: State.GIVEN,
    EventType.REFUSED: State.REFUSED,
    EventType.WITHDRAWN: State.WITHDRAWN,
    EventType.REVOKED: State.REVOKED,
    EventType.INVALIDATED: State.INVALIDATED,
    EventType.EXPIRED: State.EXPIRED,
    EventType.ERASED: State.ERASED,
}


def _event(event: ConsentEvent) -> dict[str, Any]:
    status = _EVENT_STATUS.get(event.type)
    return {
        "@id": f"urn:uuid:{event.event_id}",
        "@type": ["ms:ConsentEvent", *([f"dpv:{DPV_STATUS[status]}"] if status else [])],
        "ms:event": _ref(f"ms:event-{event.type.value}"),
        "ms:sequence": event.seq,
        "dpv:isIndicatedAtTime": _time(event.at),
        "dpv:isIndicatedBy": _node("party", event.actor) if event.actor_kind != "operator" else "an operator",
    }
