"""Seal every rendition: visible and audible label, watermark, AIGC key, subtitles, signed manifest, read back.

Nothing leaves without its label: each film that compose made is sealed by itself, and the sound and the stills are cut
from the sealed film.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from memorial_tasks.domain.order import Record
from memorial_tasks.domain.timing import CLOSING_CARD, END_CARD, LEAD_IN, OPENING_CARD, TAIL
from memorial_tasks.domain.words import Modality, Purpose
from memorial_tasks.errors import InputRefused, PermitRefused, Problem
from memorial_tasks.steps.contract import StepContext

ROOMS = ("provenance", "video")
MODALITIES = (Modality.FACE, Modality.VOICE)
STILLS = 6


class Params(Record):
    """References only. `size` and `fps` are what was ordered: a film that came out otherwise is not sealed; None
    takes the film as it is. `created_at` is given and not read from a clock: the same order gives the same claim."""

    profile: Literal["development", "production"] = "development"
    content_id: str
    producer_code: str
    consent_ref: str
    purpose: Purpose
    audit_ref: str = ""
    size: str | None = None
    fps: int | None = None
    extracts: tuple[Literal["audio", "stills"], ...] = ()
    created_at: datetime
    time_stamp_url: str | None = None


def run(context: StepContext, params: Params) -> dict[str, Any]:
    """Write film.mp4, the other renditions there are (film-*.mp4), what is taken out of the film, and seal.json.

    Raises `PermitRefused` when the step was given no signing credential.
    """
    from memorial_tasks.provenance.seal import SealReport, SealRequest, seal_film
    from memorial_tasks.video.vr180 import inject_spherical

    if context.signing is None or not context.watermark_key:
        raise PermitRefused("no signing credential or watermark key was released to this step")
    request = SealRequest(
        content_id=params.content_id,
        producer_code=params.producer_code,
        consent_ref=params.consent_ref,
        purpose=params.purpose.value,
        audit_ref=params.audit_ref,
        created_at=params.created_at,
        profile=params.profile,
        subtitles={path.stem: path for path in context.files("subtitles") if path.suffix == ".srt"},
        time_stamp_url=params.time_stamp_url,
    )
    source = context.file("film.mp4")
    _as_ordered(source, params)
    others = sorted(context.inputs.glob("film-*.mp4"))
    share = 1 / (1 + len(others))

    signing = context.signing

    def sealed(path: Path, number: int) -> SealReport:
        return seal_film(
            path,
            context.out / path.name,
            request,
            assets=context.assets,
            signing=signing,
            watermark_key=context.watermark_key,
            progress=lambda done, what: context.progress(0.98 * share * (number + done), what),
            stereo=inject_spherical if path.stem == "film-vr180" else None,
        )

    report = sealed(source, 0)
    more = {path.stem.removeprefix("film-"): sealed(path, number) for number, path in enumerate(others, 1)}
    about = report.as_dict() | {"renditions": {name: one.as_dict() for name, one in more.items()}}
    about["extracts"] = _extracts(context, params, request, report.duration)
    document = json.dumps(about, indent=2, ensure_ascii=False)
    (context.out / "seal.json").write_text(document + "\n", encoding="utf-8")
    context.progress(1.0, "sealed")
    return {
        "sha256": report.sha256,
        "duration_s": report.duration,
        "lead_in_s": report.lead_in,
        "tail_s": report.tail,
        "corner_ink": report.corner_ink,
        "card_ink": report.card_ink,
        "watermark_psnr": report.watermark_psnr,
        "verified": report.verification.verified and all(one.verification.verified for one in more.values()),
        "renditions": sorted(more),
        "extracts": about["extracts"],
    }


def _extracts(context: StepContext, params: Params, request: Any, seconds: float) -> list[str]:
    """Sound and stills out of the sealed film; their names."""
    from memorial_tasks.provenance import aigc, extracts, manifest

    if context.signing is None or not params.extracts:
        return []
    key = aigc.first_label(request.producer_code, request.content_id)
    claim = manifest.Claim(
        request.content_id, request.consent_ref, request.purpose, request.audit_ref, request.created_at
    )
    given = extracts.Given(key, claim, context.signing, context.assets, context.watermark_key, params.time_stamp_url)
    film, made = context.out / "film.mp4", []
    if "audio" in params.extracts:
        extracts.write_sound(film, context.out / "audio.m4a", given)
        made.append("audio.m4a")
    if "stills" in params.extracts:
        first, last = OPENING_CARD + LEAD_IN, max(OPENING_CARD + LEAD_IN, seconds - END_CARD - CLOSING_CARD - TAIL)
        times = [first + (last - first) * (number + 0.5) / STILLS for number in range(STILLS)]
        paths = extracts.write_stills(film, context.out / "stills", times, given)
        made += [f"stills/{path.name}" for path in paths]
    return made


def _as_ordered(source: Any, params: Params) -> None:
    from memorial_tasks.provenance import films

    with films.opened(source) as container:
        video = container.streams.video[0]
        short, rate = min(video.codec_context.width, video.codec_context.height), float(video.average_rate or 0)
    found = []
    if params.size and params.size.removesuffix("p").isdigit() and short != int(params.size.removesuffix("p")):
        what = f"the film is {short} px high, not {params.size}"
        found.append(Problem("seal.size", what, "compose it again", "size"))
    if params.fps and abs(rate - params.fps) > 0.01:
        found.append(Problem("seal.fps", f"the film has {rate:g} frames a second", "compose it again", "fps"))
    if found:
        raise InputRefused(found)
