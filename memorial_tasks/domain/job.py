"""The contract between the planes: job.json goes in, result.json comes out."""

from datetime import datetime
from typing import Any

from pydantic import Field

from memorial_tasks.domain.order import Record


class ArtifactRef(Record):
    """A stored file. `name` is its place among a step's inputs or outputs (``photos/0001.png``);
    `sha256` and `size` are of the plaintext; `uri` locates the encrypted object in the vault."""

    name: str
    uri: str
    sha256: str
    size: int
    media_type: str = "application/octet-stream"


class Job(Record):
    """What one step has to do. Holds no personal data and no key; the permit is a signed token."""

    step: str
    order: str
    subject: str
    params: dict[str, Any] = Field(default_factory=dict)
    inputs: tuple[ArtifactRef, ...] = ()
    output_prefix: str
    result_key: str
    code_version: str
    seed: int = 0
    permit: str
    attempt: str = ""  # the permit's id: names this attempt in what it leaves behind


class Result(Record):
    """What a step did. Metrics are numbers, short words or lists of findings; never personal data."""

    step: str
    order: str
    result_key: str
    code_version: str
    outputs: tuple[ArtifactRef, ...]
    metrics: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    seed: int = 0
    started_at: datetime
    finished_at: datetime
    wall_s: float
    cpu_s: float
    peak_memory_mb: float
    gpu: str = ""
    gpu_minutes: float = 0.0
    gpu_driver: str = ""
    resumed: bool = False
