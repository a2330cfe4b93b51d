"""The implicit label of GB 45438-2025 (clause 6.1, Annex E; TC260-PG-20257A for video).

In PNG, for which the standard has no place of its own, it is the element ``TC260:AIGC`` of the XMP packet. In MP4 it is
the entry ``AIGC`` of ``moov/udta/meta/keys`` with the bare seven-field JSON in ``ilst``. It stands in the
file exactly once; labels that came in with the material do not survive, because the film is muxed anew.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, unescape

from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.provenance import boxes, png

KEY = "AIGC"
FIELDS = (
    "Label",
    "ContentProducer",
    "ProduceID",
    "ReservedCode1",
    "ContentPropagator",
    "PropagateID",
    "ReservedCode2",
)
# Annex E j): code points 0x21, 0x23-0x5B, 0x5D-0x7E - no space, no quote, no backslash, nothing beyond ASCII.
_ALLOWED = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]*")
# 00 + 11 + 18 characters of the social credit code + service type + 4 characters of the model code.
_PRODUCER = re.compile(r"0011[0-9A-Z]{18}[12][0-9A-Za-z]{4}")
XMP = "XML:com.adobe.xmp"  # the keyword of a PNG's XMP packet
_IN_XMP = re.compile(r"<TC260:AIGC>([^<]*)</TC260:AIGC>")
PLACEHOLDER_PRODUCER = "0" * 27  # development only: stands for no studio, refused in production


@dataclass(frozen=True)
class AigcLabel:
    """The seven fields. All strings, in this order in the file."""

    label: str
    content_producer: str
    produce_id: str
    content_propagator: str
    propagate_id: str
    reserved_code1: str = ""
    reserved_code2: str = ""

    def as_json(self) -> str:
        """The bare JSON object that goes into the file."""
        values = (
            self.label,
            self.content_producer,
            self.produce_id,
            self.reserved_code1,
            self.content_propagator,
            self.propagate_id,
            self.reserved_code2,
        )
        return json.dumps(dict(zip(FIELDS, values, strict=True)), separators=(",", ":"))


def first_label(producer_code: str, content_id: str) -> AigcLabel:
    """The label of a film at its first writing: the producer is the propagator too (Annex E note 1).

    Raises `InputRefused` naming each field that breaks the rules.
    """
    label = AigcLabel("1", producer_code, content_id, producer_code, content_id)
    found = problems(json.loads(label.as_json()))
    if found:
        remedy = "see GB 45438-2025 Annex E"
        raise InputRefused([Problem("aigc.field", what, remedy, field=name) for name, what in found])
    return label


def problems(fields: Mapping[str, object]) -> list[tuple[str, str]]:
    """(field, what is wrong) for a label's fields; empty for a sound label."""
    found: list[tuple[str, str]] = []
    if tuple(fields) != FIELDS:
        found.append(("AIGC", "does not have exactly the seven fields in order"))
    for name in FIELDS:
        value = fields.get(name, "")
        if not isinstance(value, str):
            found.append((name, "is not a string"))
        elif not _ALLOWED.fullmatch(value):
            found.append((name, "holds a character outside the permitted ones"))
    if fields.get("Label") not in ("1", "2", "3"):
        found.append(("Label", "is not 1, 2 or 3"))
    for name in ("ContentProducer", "ContentPropagator"):
        code = fields.get(name)
        if not (isinstance(code, str) and (_PRODUCER.fullmatch(code) or code == PLACEHOLDER_PRODUCER)):
            found.append((name, "is not a 27-character provider code"))
    for name in ("ProduceID", "PropagateID"):
        if not fields.get(name):
            found.append((name, "is empty"))
    return found


@dataclass(frozen=True)
class Reading:
    """What a file says. `count` is the number of AIGC labels found anywhere in it."""

    count: int
    label: AigcLabel | None
    problems: tuple[str, ...]


def read(path: Path) -> Reading:
    """Read every AIGC label of an MP4. Accepts the wrapped form ``{"AIGC": {...}}`` too, which others write."""
    entries = [(where, value) for where, key, value in boxes.keyed_metadata(path) if KEY in key.upper()]
    return _reading(entries, len(entries) + _xmp_labels(path), "moov/udta/meta")


def read_png(path: Path) -> Reading:
    """Read every AIGC label of a PNG: in its XMP packet, where it belongs, and in text chunks of its name."""
    entries = []
    for word, text in png.texts(path):
        if word == XMP:
            entries += [(XMP, unescape(value, {"&quot;": '"'})) for value in _IN_XMP.findall(text)]
        elif KEY in word.upper():
            entries.append((word, text))
    return _reading(entries, len(entries), XMP)


def xmp_packet(label: AigcLabel) -> str:
    """The XMP packet that carries the label in a picture."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:TC260="http://www.tc260.org.cn/ns/AIGC/1.0/">'
        f"<TC260:AIGC>{escape(label.as_json())}</TC260:AIGC>"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )


def _reading(entries: list[tuple[str, str]], count: int, place: str) -> Reading:
    if not count:
        return Reading(0, None, ("no AIGC label",))
    found: list[str] = []
    if count > 1:
        found.append(f"{count} AIGC labels where one is allowed")
    if not entries:
        return Reading(count, None, (*found, f"not in {place}"))
    where, value = entries[0]
    if where != place:
        found.append(f"stands in {where}")
    fields = _fields(value)
    if fields is None:
        return Reading(count, None, (*found, "not a JSON object"))
    found += [f"{name} {what}" for name, what in problems(fields)]
    text = {name: entry if isinstance(entry := fields.get(name), str) else "" for name in FIELDS}
    label = AigcLabel(
        text["Label"],
        text["ContentProducer"],
        text["ProduceID"],
        text["ContentPropagator"],
        text["PropagateID"],
        text["ReservedCode1"],
        text["ReservedCode2"],
    )
    return Reading(count, label, tuple(found))


def _fields(value: str) -> dict[str, object] | None:
    try:
        document = json.loads(value)
        if isinstance(document, dict) and set(document) == {KEY}:
            document = document[KEY]
            document = json.loads(document) if isinstance(document, str) else document
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _xmp_labels(path: Path) -> int:
    """Labels in XMP packets (top-level or in udta), which other tools write."""
    candidates = [box for box in boxes.boxes(path) if box.kind in (b"uuid", b"XMP_", b"xml ")]
    return sum(boxes.content(path, box).count(b"<TC260:AIGC>") for box in candidates)
