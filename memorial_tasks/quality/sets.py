"""What the whole set of photos or recordings amounts to: the one-row tables of the gates."""

from collections.abc import Collection, Mapping

from memorial_tasks.quality.photos import PhotoMeasure
from memorial_tasks.quality.voice import VoiceMeasure

FRONTAL = 15.0  # degrees
MOUTH_OPEN = 0.08  # of the inter-ocular distance


def photo_summary(measures: Mapping[str, PhotoMeasure]) -> dict[str, float]:
    """Counts and ranges over the usable photos (and frames)."""
    good = [one for one in measures.values() if one.usable]
    yaws = [one.yaw for one in good]
    return {
        "total": len(measures),
        "usable": len(good),
        "frontal": sum(abs(one.yaw) <= FRONTAL for one in good),
        "best_inter_ocular": max((one.inter_ocular for one in good), default=0.0),
        "mouth_open": sum(one.mouth >= MOUTH_OPEN for one in good),
        "yaw_range": max(yaws) - min(yaws) if yaws else 0.0,
        "sharpest": max((one.sharpness for one in good), default=0.0),
        "left_out": len(measures) - len(good),
    }


def voice_summary(measures: Mapping[str, VoiceMeasure], with_text: Collection[str]) -> dict[str, float]:
    """Seconds over the usable recordings."""
    good = {name: one for name, one in measures.items() if one.usable}
    speech = sum(one.speech for one in good.values())
    return {
        "total": len(measures),
        "usable": len(good),
        "seconds": sum(one.seconds for one in measures.values()),
        "speech": sum(one.speech for one in measures.values()),
        "usable_speech": speech,
        "written_speech": sum(one.speech for name, one in good.items() if name in with_text),
        "snr": sum(one.snr * one.speech for one in good.values()) / speech if speech else 0.0,
        "left_out": len(measures) - len(good),
    }
