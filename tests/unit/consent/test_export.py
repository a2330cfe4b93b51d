"""What leaves the house: a signed receipt with the names, and RDF without them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import rdflib

from memorial_tasks.consent.events import ConsentEvent, EventType, State, next_event
from memorial_tasks.consent.export import NAMESPACE, dpv_document, receipt, verify_receipt
from memorial_tasks.consent.keys import SigningKey
from memorial_tasks.consent.record import ConsentRecord, record_from_order
from memorial_tasks.domain.order import Order
from memorial_tasks.domain.words import Purpose, Relation
from memorial_tasks.errors import IntegrityError

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
DPV = rdflib.Namespace("https://w3id.org/dpv#")
MS = rdflib.Namespace(NAMESPACE)
VOCABULARY = Path(__file__).parents[3] / "docs" / "consent-vocabulary.ttl"


@pytest.fixture
def record() -> ConsentRecord:
    order = Order.model_validate(
        {
            "order": "test-001",
            "subject": {"name": "陈秀英", "born": "1931-04-02", "died": "2019-11-20"},
            "grantors": [{"name": "林晓", "relation": "daughter", "evidence": ["p/kinship.pdf", "p/death.pdf"]}],
            "purpose": "family_private",
            "language": "zh-CN",
            "script": [{"text": "我很好。"}],
            "materials": {"photos": "photos", "voice": "voice"},
        }
    )
    papers = {"p/kinship.pdf": "a" * 64, "p/death.pdf": "b" * 64}
    return record_from_order(order, papers, "c" * 64, ["d" * 64], subject_id="sub-1", now=NOW)


@pytest.fixture
def events(record: ConsentRecord) -> list[ConsentEvent]:
    made: list[ConsentEvent] = []
    for type in (EventType.REQUESTED, EventType.GIVEN, EventType.WITHDRAWN):
        more: dict[str, Any] = {"valid_until": record.valid_until} if type is EventType.GIVEN else {}
        actor = record.grantors[0].party_id
        made.append(next_event(made, record, type, NOW, actor_kind="grantor", actor=actor, **more))
    return made


def graph_of(record: ConsentRecord, events: list[ConsentEvent]) -> rdflib.Graph:
    return rdflib.Graph().parse(data=json.dumps(dpv_document(record, events, NOW)), format="json-ld")


def test_an_rdf_parser_reads_the_export(record: ConsentRecord, events: list[ConsentEvent]) -> None:
    graph = graph_of(record, events)
    consent = rdflib.URIRef(f"urn:uuid:{record.consent_id}")
    subject = rdflib.URIRef("urn:memorial-studio:subject:sub-1")
    assert (consent, rdflib.RDF.type, DPV.ConsentRecord) in graph
    assert (consent, DPV.hasConsentStatus, DPV.ConsentWithdrawn) in graph
    assert (consent, DPV.hasDataSubject, subject) in graph
    assert (subject, rdflib.RDF.type, MS.DeceasedPerson) in graph
    (representative,) = graph.objects(consent, DPV.hasRepresentative)
    assert (representative, DPV.isRepresentativeFor, subject) in graph
    assert graph.value(representative, MS.kinRank).toPython() == 1
    (process,) = graph.objects(consent, DPV.hasProcess)
    assert set(graph.objects(process, DPV.hasPersonalData)) == {MS.Likeness, MS.Voice}
    assert (process, DPV.hasPurpose, MS["purpose-family_private"]) in graph
    until = graph.value(consent, rdflib.DCTERMS.valid)
    assert until.toPython() == record.valid_until
    assert len(list(graph.subjects(rdflib.RDF.type, MS.ConsentEvent))) == 3


def test_the_status_follows_the_events(record: ConsentRecord, events: list[ConsentEvent]) -> None:
    consent = rdflib.URIRef(f"urn:uuid:{record.consent_id}")
    assert (consent, DPV.hasConsentStatus, DPV.ConsentGiven) in graph_of(record, events[:2])
    later = rdflib.Graph().parse(
        data=json.dumps(dpv_document(record, events[:2], NOW + timedelta(days=500))), format="json-ld"
    )
    assert (consent, DPV.hasConsentStatus, DPV.ConsentExpired) in later


def test_the_export_holds_no_name(record: ConsentRecord, events: list[ConsentEvent]) -> None:
    text = json.dumps(dpv_document(record, events, NOW), ensure_ascii=False)
    assert not [word for word in ("陈秀英", "林晓", "1931", "2019-11-20") if word in text]


def test_every_word_of_ours_is_in_the_vocabulary(record: ConsentRecord, events: list[ConsentEvent]) -> None:
    vocabulary = rdflib.Graph().parse(VOCABULARY, format="turtle")
    known = {str(term) for term in vocabulary.subjects() if str(term).startswith(NAMESPACE)}
    used = {str(term) for triple in graph_of(record, events) for term in triple if str(term).startswith(NAMESPACE)}
    assert used <= known, used - known
    assert used
    arrangements = ("none", "permits", "forbids", "names_person")
    lists = {"purpose": Purpose, "relation": Relation, "state": State, "event": EventType, "arrangement": arrangements}
    assert {f"{NAMESPACE}{kind}-{word}" for kind, words in lists.items() for word in words} <= known
    for term in known:
        node = rdflib.URIRef(term)
        assert vocabulary.value(node, rdflib.SKOS.definition), f"{term} is not explained"
    without = [t for t in known if (rdflib.URIRef(t), rdflib.RDF.type, rdflib.RDFS.Class) in vocabulary]
    assert without
    for term in without:
        nearest = [*vocabulary.objects(rdflib.URIRef(term), rdflib.RDFS.subClassOf)]
        assert any(str(one).startswith("https://w3id.org/dpv") for one in nearest), f"{term} is mapped to no DPV term"


def test_the_receipt_has_kantaras_fields_and_is_signed(record: ConsentRecord, events: list[ConsentEvent]) -> None:
    key = SigningKey.generate()
    document = json.loads(json.dumps(receipt(record, events, key, NOW)))
    kantara = {
        *(
            "version",
            "jurisdiction",
            "consentTimestamp",
            "collectionMethod",
            "consentReceiptID",
            "publicKey",
            "language",
        ),
        *("piiPrincipalId", "piiControllers", "policyUrl", "services", "sensitive", "spiCat"),
    }
    assert kantara <= document.keys()
    assert document["version"] == "KI-CR-v1.1.0"
    assert document["memorial"]["grantors"][0]["name"] == "林晓"
    assert document["memorial"]["state"] == "withdrawn"
    verify_receipt(document, {key.kid: key.public})
    document["memorial"]["state"] = "given"
    with pytest.raises(IntegrityError):
        verify_receipt(document, {key.kid: key.public})
