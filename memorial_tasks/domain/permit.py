"""The permit: a short-lived, signed statement that one order may do some things for one purpose."""

from datetime import datetime

from memorial_tasks.domain.order import Record
from memorial_tasks.domain.words import Modality, Purpose


class Permit(Record):
    """The claims of a permit token. `consent_version` is the fencing token: any change of consent raises
    the version, and every permit of an older version is dead from then on."""

    permit_id: str
    order: str
    subject: str
    purpose: Purpose
    modalities: tuple[Modality, ...]
    steps: tuple[str, ...]  # step names this permit unlocks
    consent_id: str
    consent_version: int
    issued_at: datetime
    expires_at: datetime
