"""Orders that are ready to be delivered, and the real gate before them.

What the steps would have computed is put into the vault as small stand-in files under the result keys of the real
plan: delivery reads digests and bytes and never looks at a picture. Everything else is real: database, vault, consent,
review, gate process, HTTP; the bucket is moto's S3 and KMS on loopback.
"""

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg2
import pytest

from memorial_tasks.audit.event import AuditEvent, parse_body
from memorial_tasks.consent import acts
from memorial_tasks.consent import registry as consents
from memorial_tasks.consent.record import record_from_order, script_digest
from memorial_tasks.consent.sealing import KeyringSealer
from memorial_tasks.database import registry
from memorial_tasks.database.server import url_of
from memorial_tasks.delivery import links
from memorial_tasks.delivery.door import Door
from memorial_tasks.domain.job import ArtifactRef, Result
from memorial_tasks.domain.order import Order
from memorial_tasks.domain.words import MaterialKind, OrderState
from memorial_tasks.production import deliveries
from memorial_tasks.production.graph import DOCUMENT, INPUTS
from memorial_tasks.production.review import film_digest, film_of
from memorial_tasks.production.steps import plan
from memorial_tasks.production.studio import Studio, Who
from memorial_tasks.settings import Settings
from memorial_tasks.vault.store import EncryptedStore

WHO = Who("person", "tester")
SCRIPT = ["我很好。", "Do not worry."]
NAMES = ("陈秀英", "林晓", "周敏")  # subject, grantor, another recipient: none may leak
BUCKET = "memorial-films"
ROOT = Path(__file__).resolve().parents[3]


def left_by(source: str) -> list[str]:
    """Names of what a source has to leave for the steps that read it, after the graph itself."""
    takes = [take for takes in INPUTS.values() for take in takes if take.source == source]
    return sorted({take.pattern.replace("*", "made") for take in takes} | _MORE.get(source, set()))


_MORE = {"package": {"page/index.html", "page/film.mp4"}, "output_gate": {"sheet.png"}}


@dataclass
class Films:
    """A studio whose orders are made by the test."""

    studio: Studio
    environment: dict[str, str]
    made: dict[str, bytes] = field(default_factory=dict, repr=False)

    def order(
        self, order_id: str = "", *, film: bytes = b"", approved: bool = True, lasts: float = 0, **consent: Any
    ) -> str:
        """An order with a finished film, approved by a person, in review; returns its id. `lasts`: seconds until the
        consent expires."""
        order_id = order_id or f"film-{uuid.uuid4().hex[:10]}"
        film = film or os.urandom(300_000)
        order = Order.model_validate(
            {
                "order": order_id,
                "subject": {"name": NAMES[0], "born": "1931-04-02", "died": "2019-11-20", "domicile": "CN"},
                "grantors": [{"name": NAMES[1], "relation": "daughter", "evidence": ["p/kinship.pdf", "p/death.pdf"]}],
                "purpose": "family_private",
                "language": "zh-CN",
                "script": [{"text": text} for text in SCRIPT],
                "materials": {"photos": "photos"},
                "consent": consent,
            }
        )
        subject, at = f"sub-{order_id}", datetime.now(UTC)
        self.studio.keyring.create(subject)
        papers = {path: uuid.uuid4().hex * 2 for path in ("p/kinship.pdf", "p/death.pdf")}
        record = record_from_order(order, papers, script_digest(SCRIPT), [], subject_id=subject, now=at)
        if lasts:
            record = record.model_copy(update={"valid_until": at + timedelta(seconds=lasts)})
        with self.studio.transaction() as connection:
            registry.create_order(
                connection,
                registry.NewOrder(
                    order_id=order_id, subject_id=subject, purpose=order.purpose, language=order.language,
                    jurisdictions=order.jurisdictions, sealed_document=b"sealed", document_sha256="0" * 64,
                    script_sha256=record.script_sha256, consent_id=record.consent_id,
                ),
            )  # fmt: skip
            sealer, keys = KeyringSealer(self.studio.keyring), self.studio.keys
            consents.open_consent(connection, record, keys, sealer, operator="ann", now=at)
            acts.approve_evidence(connection, order_id, keys, approver="ben", now=at)
        self.make(order_id, film)
        with self.studio.transaction() as connection:
            registry.set_state(connection, order_id, OrderState.IN_REVIEW, allowed_from=[OrderState.SUBMITTED])
        if approved:
            self.approve(order_id)
        return order_id

    def make(
        self, order_id: str, film: bytes, *, again: bool = False, real: Mapping[str, Mapping[str, bytes]] | None = None
    ) -> None:
        """Every step's result, with `film` as the sealed one. `again`: a new script line made everything anew. `real`:
        what some steps left instead of stand-ins, by step and name."""
        self.made[order_id] = film
        key = self.studio.keyring.unwrap(f"sub-{order_id}")
        scratch = self.studio.settings.root / "made"
        scratch.mkdir(parents=True, exist_ok=True)
        vault, marker = EncryptedStore(self.studio.store, key, scratch), uuid.uuid4().hex

        def put(uri: str, name: str, content: bytes) -> ArtifactRef:
            source = scratch / "source"
            source.write_bytes(content)
            digest, size = vault.put(uri, source)
            return ArtifactRef(name=name, uri=uri, sha256=digest, size=size)

        with self.studio.transaction() as connection:
            if not again:
                for name in left_by(DOCUMENT):
                    made = put(f"vault://orders/{order_id}/documents/{name}", name, f"{name} {marker}".encode())
                    registry.add_material(
                        connection,
                        registry.MaterialRow(
                            order_id, name, MaterialKind.DOCUMENT, made.uri, made.sha256, made.size, "application/json"
                        ),
                    )
            order = self.studio.order(connection, order_id)
            for step in INPUTS:
                planned = plan(self.studio, connection, order, step)
                outputs = []
                kept = (real or {}).get(step)
                for name in kept or left_by(step):
                    sealed = name.endswith("film.mp4") and step in {"seal", "package"}
                    content = film if sealed else f"{step} {name} {marker}".encode()
                    content = kept[name] if kept else content
                    outputs.append(put(f"{planned.prefix(order)}/{marker}/{name}", name, content))
                registry.start_step(
                    connection, order_id, step, planned.key,
                    code_version=planned.version, params=planned.params, inputs=planned.inputs,
                )  # fmt: skip
                if again:
                    with connection.cursor() as cursor:  # what a run of new code would have stored
                        cursor.execute(
                            "UPDATE step_run SET state = 'running' WHERE order_id = %s AND step = %s", (order_id, step)
                        )
                at = datetime.now(UTC)
                registry.finish_step(
                    connection,
                    Result(
                        step=step, order=order_id, result_key=planned.key, code_version=planned.version,
                        outputs=tuple(outputs), metrics={"passed": True, "findings": []}, started_at=at,
                        finished_at=at, wall_s=0.1, cpu_s=0.1, peak_memory_mb=1.0,
                    ),
                )  # fmt: skip

    def approve(self, order_id: str) -> None:
        """A person approves exactly the film that lies there now."""
        with self.studio.transaction() as connection:
            digest = film_digest(film_of(self.studio, connection, self.studio.order(connection, order_id)))
            registry.record_review(
                connection, order_id, f"review-{uuid.uuid4().hex[:8]}",
                subject_matter="film", decision="approved", reviewer="rita", digest=digest,
            )  # fmt: skip

    def delivered(self, **arguments: Any) -> str:
        """An order whose film was delivered."""
        order_id = self.order(**arguments)
        deliveries.deliver(self.studio, order_id, WHO)
        return order_id

    def link(self, order_id: str, **arguments: Any) -> links.Issued:
        """A link for the order's only recipient."""
        return links.issue(self.studio, order_id, WHO, **arguments)

    @property
    def door(self) -> Door:
        """What the gate's process opens."""
        return Door.open(self.studio.settings)

    def row(self, order_id: str) -> Any:
        with self.studio.transaction() as connection:
            return self.studio.order(connection, order_id)

    def state(self, order_id: str) -> str:
        return str(self.row(order_id).state)

    def withdraw(self, order_id: str) -> None:
        """The grantor takes consent back."""
        with self.studio.transaction() as connection:
            acts.withdraw(
                connection, order_id, self.studio.keys, KeyringSealer(self.studio.keyring),
                by="", reason="no", operator="ann", now=datetime.now(UTC),
            )  # fmt: skip

    def object(self, order_id: str) -> None:
        """A relative objects."""
        with self.studio.transaction() as connection:
            acts.object_to(
                connection, order_id, self.studio.keys, KeyringSealer(self.studio.keyring),
                name="somebody", relation=None, reason="no", operator="ann", now=datetime.now(UTC),
            )  # fmt: skip

    def renew(self, order_id: str) -> None:
        """The grantor consents anew, and the papers are looked at again."""
        at = datetime.now(UTC)
        with self.studio.transaction() as connection:
            keys = self.studio.keys
            acts.renew(connection, order_id, keys, KeyringSealer(self.studio.keyring), operator="ann", now=at)
            acts.approve_evidence(connection, order_id, keys, approver="ben", now=at)

    def settle(self, order_id: str) -> None:
        """The objection is taken back."""
        with self.studio.transaction() as connection:
            acts.resolve(
                connection, order_id, self.studio.keys, KeyringSealer(self.studio.keyring),
                outcome="retracted", reason="no", operator="ann", now=datetime.now(UTC),
            )  # fmt: skip

    def sql(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What only the owner of the database can do."""
        connection = psycopg2.connect(self.studio.database)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(f"SET search_path TO memorial, audit; {statement}", parameters)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def audit(self, order_id: str, kind: str = "") -> list[AuditEvent]:
        """The order's entries in the log, read as an auditor may."""
        found = [parse_body(bytes(row[0])) for row in self.sql("SELECT body FROM audit.event ORDER BY id")]
        return [entry for entry in found if entry.order == order_id and entry.type.startswith(kind)]

    def memorial(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command, as an operator types it."""
        return subprocess.run(
            [sys.executable, "-m", "memorial_tasks.cli", *arguments],
            env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def own_database(server: Path, template: str) -> Iterator[str]:
    """A migrated database for this module's orders."""
    name = f"t_{uuid.uuid4().hex[:12]}"

    def admin(statement: str) -> None:
        connection = psycopg2.connect(url_of(server, "postgres"))
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
        connection.close()

    admin(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield url_of(server, name)
    admin(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def films_at(home: Path, database: str, **settings: Any) -> Films:
    """A studio in `home` on `database`, and the environment that describes it to a process."""
    given = {"home": home, "database_url": database, "operator": "ann", **settings}
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("MEMORIAL_", "AIRFLOW"))}
    environment = plain | {f"MEMORIAL_{key.upper()}": str(value) for key, value in given.items()}
    environment["PYTHONPATH"] = str(ROOT)
    studio = Studio.open(Settings(**given))
    links.ready_gate(studio, WHO)
    return Films(studio, environment)


@pytest.fixture(scope="module")
def films(own_database: str, tmp_path_factory: pytest.TempPathFactory) -> Films:
    """The embedded default: films go into a folder of this machine."""
    return films_at(tmp_path_factory.mktemp("home"), own_database, delivery_port=free_port())


@dataclass
class Gate:
    """The running gate as the family's browser reaches it."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    http: httpx.Client

    def path(self, link: str) -> str:
        """The path of a full link."""
        return link[link.index("/film/") :]

    def fetch(self, link: str, code: str, **arguments: Any) -> httpx.Response:
        """What a browser does: type the code, press the button, follow to the film."""
        return self.http.post(self.path(link), data={"code": code}, follow_redirects=True, **arguments)

    def press(self, link: str, code: str, **arguments: Any) -> httpx.Response:
        """Only the button; the answer says where the film would be."""
        return self.http.post(self.path(link), data={"code": code}, **arguments)


def start_gate(films: Films, log: Path, port: int) -> Gate:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "memorial_tasks.cli", "delivery", "serve", "--port", str(port)],
            env=films.environment, stdout=output, stderr=output,
        )  # fmt: skip
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if client.get("/health").status_code == 200:
                return Gate(f"http://127.0.0.1:{port}", process, log, client)
        except httpx.TransportError:
            time.sleep(0.1)
        assert process.poll() is None, log.read_text()
    process.kill()
    raise AssertionError(log.read_text())


def stop_gate(gate: Gate) -> None:
    gate.http.close()
    gate.process.terminate()
    try:
        gate.process.wait(15)
    except subprocess.TimeoutExpired:
        gate.process.kill()
        gate.process.wait()


@pytest.fixture(scope="module")
def gate(films: Films, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """The gate of the embedded default, a process of its own."""
    running = start_gate(films, tmp_path_factory.mktemp("gate") / "log", films.studio.settings.delivery_port)
    yield running
    stop_gate(running)


@dataclass
class Cloud:
    """moto on loopback: where it listens, and a client that sees everything."""

    endpoint: str
    s3: Any
    kms_key: str


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """S3, KMS and STS on loopback with one versioned bucket."""
    boto3 = pytest.importorskip("boto3")
    moto_server = pytest.importorskip("moto.server")
    patch = pytest.MonkeyPatch()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.setenv(name, "testing")
    patch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    running = moto_server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    s3, kms = boto3.client("s3", endpoint_url=endpoint), boto3.client("kms", endpoint_url=endpoint)
    make_bucket(s3, BUCKET)
    yield Cloud(endpoint, s3, kms.create_key()["KeyMetadata"]["Arn"])
    httpx.post(f"{endpoint}/moto-api/reset")  # moto keeps its buckets as long as the process lives
    running.stop()
    patch.undo()


def make_bucket(s3: Any, name: str, *, versions: bool = True, **more: Any) -> None:
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}, **more)
    if versions:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})


@pytest.fixture(scope="module")
def bucket_films(own_database: str, cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Films:
    """A studio that delivers to the bucket."""
    return films_at(
        tmp_path_factory.mktemp("cloud-home"), own_database, delivery_bucket=f"{BUCKET}/studio",
        delivery_endpoint=cloud.endpoint, delivery_kms_key=cloud.kms_key, delivery_port=free_port(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def bucket_gate(bucket_films: Films, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """The gate before the bucket."""
    port = bucket_films.studio.settings.delivery_port
    running = start_gate(bucket_films, tmp_path_factory.mktemp("bucket-gate") / "log", port)
    yield running
    stop_gate(running)
