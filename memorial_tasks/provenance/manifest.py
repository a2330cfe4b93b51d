"""The signed C2PA manifest: written as the last thing that touches the file, and read back.

It says that the film is a composite with parts made by a trained model, that nobody may mine it, and under which
consent and audit reference it was made. It carries no name, no title, no thumbnail and no file name of anything the
family gave. Nothing is ever fetched: neither remote manifests nor certificate status.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import c2pa
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from memorial_tasks import __version__
from memorial_tasks.errors import StepFailed
from memorial_tasks.provenance.authority import Credential

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
CONSENT = "org.memorialstudio.consent"
MINING = "cawg.training-mining"
MIME = "video/mp4"
_MINING_USES = ("ai_generative_training", "ai_training", "ai_inference", "data_mining")


@dataclass(frozen=True)
class Claim:
    """What the manifest says. References only: no names, no script, no file names."""

    content_id: str
    consent_ref: str
    purpose: str
    audit_ref: str
    created_at: datetime


def _settings(anchors_pem: str = "", hosts: Sequence[str] = ()) -> dict[str, Any]:
    trust: dict[str, Any] = {"verify_trust_list": True}
    if anchors_pem:
        trust["trust_anchors"] = anchors_pem
    return {
        "verify": {
            "verify_trust": True,
            "verify_after_reading": True,
            "verify_after_sign": True,
            "remote_manifest_fetch": False,
            "ocsp_fetch": False,
        },
        "core": {"allowed_network_hosts": list(hosts)},
        "trust": trust,
        "builder": {"thumbnail": {"enabled": False}},
    }


def describe(claim: Claim, mime: str = MIME) -> dict[str, Any]:
    """The manifest definition given to the C2PA builder."""
    actions = [
        {
            "action": "c2pa.created",
            "when": claim.created_at.isoformat(),
            "digitalSourceType": SOURCE_TYPE,
            "softwareAgent": {"name": "Memorial Studio", "version": __version__},
        },
        {"action": "c2pa.watermarked.unbound"},
    ]
    consent = {
        "content_id": claim.content_id,
        "consent_ref": claim.consent_ref,
        "purpose": claim.purpose,
        "audit_ref": claim.audit_ref,
    }
    return {
        "claim_generator_info": [{"name": "Memorial Studio", "version": __version__, "specVersion": "2.2.0"}],
        "format": mime,
        "title": claim.content_id,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions, "allActionsIncluded": True}},
            {
                "label": MINING,
                "data": {"entries": {f"cawg.{use}": {"use": "notAllowed"} for use in _MINING_USES}},
            },
            {"label": CONSENT, "data": consent},
        ],
    }


def _sign_with(key_pem: str) -> Callable[[bytes], bytes]:
    """ES256 as COSE wants it: r and s, 32 bytes each. In production the same callback asks a key service."""
    key = serialization.load_pem_private_key(key_pem.encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise StepFailed("the signing key is not an elliptic-curve key")

    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return sign


@contextmanager
def _context(anchors_pem: str = "", hosts: Sequence[str] = ()) -> Iterator[c2pa.Context]:
    context = c2pa.Context.from_dict(_settings(anchors_pem, hosts))
    try:
        yield context
    finally:
        context.close()


def sign(
    source: Path,
    target: Path,
    claim: Claim,
    credential: Credential,
    time_stamp_url: str | None = None,
    mime: str = MIME,
) -> None:
    """Copy `source` to `target` with a signed manifest inside. `target` must not exist.

    Without `time_stamp_url` (RFC 3161) the manifest is valid as long as the certificate. Raises `StepFailed`.
    """
    hosts = [urlsplit(time_stamp_url).hostname or ""] if time_stamp_url else []
    try:
        with (
            _context(credential.anchors_pem, hosts) as context,
            c2pa.Signer.from_callback(
                _sign_with(credential.key_pem), c2pa.C2paSigningAlg.ES256, credential.chain_pem, time_stamp_url
            ) as signer,
            c2pa.Builder(json.dumps(describe(claim, mime)), context) as builder,
            source.open("rb") as file,
            target.open("w+b") as out,
        ):
            builder.sign(signer, mime, file, out)
    except c2pa.C2paError as error:
        raise StepFailed(f"the manifest could not be signed ({_kind(error)})", remedy="check the chain") from error


@dataclass(frozen=True)
class Reading:
    """What a file's manifest says. `state` is Trusted, Valid, Invalid or none; `failures` the validation codes."""

    state: str
    failures: tuple[str, ...] = ()
    source_type: str = ""
    consent: Mapping[str, str] | None = None
    mining_refused: bool = False
    signed_by: str = ""
    manifests: int = 0


def read(path: Path, anchors_pem: str = "", mime: str = MIME) -> Reading:
    """Read and validate the manifest of a file. Never raises for what the file holds."""
    try:
        with (
            _context(anchors_pem) as context,
            path.open("rb") as file,
            c2pa.Reader(mime, file, context=context) as reader,
        ):
            document = json.loads(reader.json())
            state = str(reader.get_validation_state() or "none")
    except (c2pa.C2paError, ValueError, OSError) as error:
        return Reading("none", (_kind(error),))
    active = document.get("manifests", {}).get(document.get("active_manifest", ""), {})
    outcome = document.get("validation_results", {}).get("activeManifest", {})
    failures = tuple(str(item.get("code", "")) for item in outcome.get("failure", []))
    assertions = {item.get("label"): item.get("data") for item in active.get("assertions", [])}
    actions = (assertions.get("c2pa.actions.v2") or {}).get("actions", [])
    created: dict[str, Any] = next((action for action in actions if action.get("action") == "c2pa.created"), {})
    entries = (assertions.get(MINING) or {}).get("entries", {})
    consent = assertions.get(CONSENT)
    return Reading(
        state=state,
        failures=failures,
        source_type=str(created.get("digitalSourceType", "")),
        consent={str(k): str(v) for k, v in consent.items()} if isinstance(consent, dict) else None,
        mining_refused=bool(entries) and all(e.get("use") == "notAllowed" for e in entries.values()),
        signed_by=str((active.get("signature_info") or {}).get("common_name", "")),
        manifests=len(document.get("manifests", {})),
    )


def _kind(error: Exception) -> str:
    return type(error).__name__.lstrip("_").removeprefix("C2pa") or "error"
