"""Seal the finished film: visible and audible label, watermark, AIGC key, subtitles, signed manifest, read back."""

import json
from datetime import datetime
from typing import Any, Literal

from memorial_tasks.domain.order import Record
from memorial_tasks.domain.words import Modality, Purpose
from memorial_tasks.errors import InputRefused, PermitRefused, Problem
from memorial_tasks.steps.contract import StepContext

ROOMS = ("provenance",)
MODALITIES = (Modality.FACE, Modality.VOICE)


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
    created_at: datetime
    time_stamp_url: str | None = None


def run(context: StepContext, params: Params) -> dict[str, Any]:
    """Write film.mp4 and seal.json. Raises `PermitRefused` when the step was given no signing credential."""
    from memorial_tasks.provenance.seal import SealRequest, seal_film

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
    report = seal_film(
        source,
        context.out / "film.mp4",
        request,
        assets=context.assets,
        signing=context.signing,
        watermark_key=context.watermark_key,
        progress=context.progress,
    )
    document = json.dumps(report.as_dict(), indent=2, ensure_ascii=False)
    (context.out / "seal.json").write_text(document + "\n", encoding="utf-8")
    return {
        "sha256": report.sha256,
        "duration_s": report.duration,
        "lead_in_s": report.lead_in,
        "tail_s": report.tail,
        "corner_ink": report.corner_ink,
        "card_ink": report.card_ink,
        "watermark_psnr": report.watermark_psnr,
        "verified": report.verification.verified,
    }


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
