"""Where things lie and what the studio decided, from ``MEMORIAL_*`` variables or a ``.env`` file.

Only the control plane and the command read settings; steps get everything through their job.
"""

import os
from decimal import Decimal
from functools import cached_property, lru_cache
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

REPOSITORY = Path(__file__).resolve().parent.parent


def _default_home() -> Path:
    """Beside the checkout while developing, in the user's home when installed as a package."""
    return REPOSITORY / ".memorial" if (REPOSITORY / "pyproject.toml").is_file() else Path.home() / ".memorial"


def _pod_templates() -> Path:
    """In the installed package, or where people look for them in a checkout."""
    inside = REPOSITORY / "memorial_tasks" / "pods"
    return inside if inside.is_dir() else REPOSITORY / "infra" / "pods"


class Settings(BaseSettings):
    """All settings; every field can be set as ``MEMORIAL_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix="MEMORIAL_", env_file=".env", extra="ignore", frozen=True)

    @classmethod
    def current(cls) -> "Settings":
        """The settings of this process: read once, and again when its variables or its ``.env`` file have changed.

        Reading takes 15 ms of processor time. Every task of an order would do it twice, and a process forked from one
        that has read them need not do it at all.
        """
        given = sorted(item for item in os.environ.items() if item[0].upper().startswith("MEMORIAL_"))
        file = Path(".env")
        about = (os.getcwd(), file.stat().st_mtime_ns, file.stat().st_size) if file.is_file() else ()
        return _read((*given, about))

    home: Path = Field(default_factory=_default_home, description="everything the studio keeps on this machine")
    database_url: str | None = Field(default=None, description="a PostgreSQL of your own; empty: the embedded one")
    store: str = Field(default="", description="vault objects: empty for a local folder, or s3://bucket/prefix")
    s3_endpoint: str | None = Field(default=None, description="for an S3-compatible store")
    kms_key_id: str | None = Field(default=None, description="AWS KMS key that wraps data keys; empty: local keyring")
    assets: Path | None = Field(default=None, description="face model files and fonts")
    deliveries: Path | None = Field(default=None, description="where delivered films are put")
    delivery_bucket: str | None = Field(default=None, description="deliver to this bucket (NAME or NAME/prefix)")
    delivery_endpoint: str | None = Field(default=None, description="its endpoint, when it is not the vault's")
    delivery_kms_key: str | None = Field(default=None, description="KMS key of its objects; empty: the bucket's own")
    delivery_role: str | None = Field(default=None, description="role that signs download addresses; empty: our own")
    delivery_url: str | None = Field(default=None, description="https address under which the family reaches the links")
    gate: Path | None = Field(default=None, description="the link gate's own key and what it needs of others")
    delivery_port: int = Field(default=8090, ge=1, le=65535, description="port of the link gate")
    operator: str = Field(default="operator", description="who acts when the command is used")
    controller_name: str = Field(default="Memorial Studio", min_length=1, description="the studio's name in consents")
    controller_address: str = Field(
        default="as stated in the contract", min_length=1, description="its postal address, for consents and receipts"
    )
    controller_contact: str = Field(
        default="the studio's consent office", min_length=1, description="where a family says stop: telephone or e-mail"
    )
    profile: str = Field(default="development", pattern="^(development|production)$")
    producer_code: str = Field(default="0" * 27, description="27-character provider code of the AIGC label")
    signing_chain: Path | None = Field(default=None, description="PEM chain that signs manifests, leaf first")
    signing_key: Path | None = Field(default=None, description="its private key, PEM")
    signing_anchors: Path | None = Field(default=None, description="PEM anchors that make the chain trusted")
    audit_bucket: str | None = Field(
        default=None, description="checkpoints go here too: s3://bucket/prefix with Object Lock, in another account"
    )
    tsa_url: str | None = Field(default=None, description="RFC 3161 authority that stamps checkpoints")
    tsa_roots: Path | None = Field(default=None, description="PEM certificates its time stamps must lead to")
    image_digest: str = Field(
        default="", pattern="^(sha256:[0-9a-f]{64})?$", description="image the workers run in; set by its deployment"
    )
    evidence_approvals: int | None = Field(default=None, ge=1, le=2, description="persons who must check the papers")
    permit_minutes: int = Field(default=240, ge=1, le=24 * 60, description="how long a permit lives")
    train: str = Field(default="cpu", pattern="^(tiny|cpu|production)$", description="training configuration")
    api_port: int = Field(default=8080, ge=1, le=65535, description="port of Airflow's pages")
    parallelism: int = Field(default=4, ge=1, le=64, description="tasks Airflow runs at once on this machine")
    step_command: str = Field(
        default="python -m memorial_tasks.steps", min_length=1, description="what runs a step; 'python' is our own"
    )
    step_runner: str = Field(default="local", pattern="^(local|kubernetes)$", description="where steps run")
    step_image: str = Field(default="", description="worker image of pods, name@sha256:digest")
    step_role_arn: str = Field(default="", description="role whose rights pods get, narrowed to their order's objects")
    # AWS ends a session that one role opened for another after an hour, whatever the role allows.
    step_role_seconds: int = Field(default=3600, ge=900, le=12 * 3600, description="the role's longest session")
    gpu_steps: str = Field(default="train_face", description="steps whose pods ask for a GPU")
    gpu_slots: int = Field(default=2, ge=0, le=1000, description="GPU pods at once: slots of Airflow's pool")
    gpu_price_per_minute: Decimal | None = Field(default=None, ge=0, description="what a minute with a GPU costs")
    cpu_price_per_minute: Decimal | None = Field(default=None, ge=0, description="what a minute without one costs")
    currency: str = Field(default="EUR", pattern="^[A-Z]{3}$", description="of the prices, ISO 4217")
    pod_namespace: str = Field(default="memorial-steps", description="namespace of the pods and their secrets")
    pod_connection: str = Field(default="kubernetes_default", description="Airflow's connection to the cluster")
    pod_templates: Path = Field(default_factory=_pod_templates, description="one pod template a step class")
    pod_assets: str = Field(default="/opt/memorial-assets", description="model files and fonts inside the image")
    pod_vault_claim: str = Field(default="", description="claim that carries a vault in a folder; pods mount one order")
    pod_vault_path: str = Field(default="", description="the same as a path of the node, for a cluster of one node")
    pod_queue: str = Field(default="", description="Kueue LocalQueue that admits the pods; empty: none")
    pod_schedule_minutes: int = Field(default=30, ge=1, description="how long a pod may wait for a node")
    pod_startup_minutes: int = Field(default=20, ge=1, description="how long a node may take to start a pod")
    pod_poll_seconds: float = Field(default=10.0, ge=0.2, le=300, description="how often a pod is looked at")
    pod_patience_minutes: int = Field(default=15, ge=1, description="how long the cluster may be out of reach")
    base_url: str | None = Field(default=None, description="address under which people reach Airflow's pages")
    otel_endpoint: str | None = Field(default=None, description="OTLP collector for metrics, http://host:4318")
    json_logs: bool = Field(default=False, description="Airflow's and the command's own lines as JSON")
    batch_orders: int | None = Field(
        default=None, ge=1, le=5000, description="orders a batch lets work at once; empty: the GPU pool's slots"
    )
    review_at: str = Field(default="film", description="where a person is asked: script,voice,still,film")
    review_by_others: bool = Field(default=False, description="whoever entered an order may not approve its film")
    reviewers: str = Field(default="", description="further accounts of the local pages, comma separated")
    notify_email: str = Field(default="", description="who is told by e-mail, comma separated")
    notify_from: str = Field(default="", description="sender of these e-mails; empty: the first recipient")
    smtp_url: str = Field(default="", description="smtp://USER@HOST:587 or smtps://USER@HOST; TLS unless on loopback")
    smtp_password_file: Path | None = Field(default=None, description="file with that user's password")
    notify_webhook: str = Field(default="", description="address that is called, signed with keyring/webhook.key")
    promise_days: int = Field(default=2, ge=0, le=60, description="so many days before its date an order is at risk")
    batch_hours: int = Field(default=10, ge=1, le=23, description="after so many hours a batch starts nothing more")

    @field_validator("review_at")
    @classmethod
    def _the_film_is_always_seen(cls, given: str) -> str:
        points = {word.strip() for word in given.split(",")}
        if "film" not in points or points - {"script", "voice", "still", "film"}:
            raise ValueError("name film, and script, voice or still where wanted; the film is always reviewed")
        return given

    @cached_property
    def root(self) -> Path:
        """`home`, absolute."""
        return self.home.expanduser().resolve()

    @property
    def database_dir(self) -> Path:
        """Data folder of the embedded PostgreSQL."""
        return self.root / "postgres"

    @property
    def keyring(self) -> Path:
        """Wrapping key, wrapped data keys and signing keys. Back it up apart from everything else."""
        return self.root / "keyring"

    @property
    def audit_dir(self) -> Path:
        """Checkpoints and anchors kept outside the database."""
        return self.root / "audit"

    @property
    def vault_dir(self) -> Path:
        """Encrypted objects of the local store."""
        return self.root / "vault"

    @property
    def assets_dir(self) -> Path:
        """Model files and fonts fetched at set-up."""
        return self.assets or self.root / "assets"

    @property
    def deliveries_dir(self) -> Path:
        """Delivered films."""
        return self.deliveries or self.root / "deliveries"

    @property
    def gate_dir(self) -> Path:
        """The link gate's own folder: its signing key and the registrar's public keys, nothing of the keyring."""
        return self.gate or self.root / "gate"

    @property
    def reports_dir(self) -> Path:
        """Quality and audit reports exported for people."""
        return self.root / "reports"

    @property
    def airflow_home(self) -> Path:
        """Airflow's own folder: configuration, logs, generated passwords."""
        return self.root / "airflow"

    @property
    def store_url(self) -> str:
        """The vault's location as the steps are told it."""
        return self.store or f"file://{self.vault_dir}"


@lru_cache(maxsize=4)
def _read(_state: tuple[tuple[object, ...], ...]) -> Settings:
    return Settings()
