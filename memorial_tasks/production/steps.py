"""Running one step of one order, in three acts: prepare (permit, key, job), launch, collect (result, registry, audit).

The heart of the control plane. The first and the last act are the same wherever the step runs.
"""

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memorial_tasks.database import registry
from memorial_tasks.database.connection import Connection
from memorial_tasks.database.registry import OrderRow, StepRunRow
from memorial_tasks.domain.job import ArtifactRef, Job, Result
from memorial_tasks.domain.permit import Permit
from memorial_tasks.domain.words import MaterialKind, OrderState
from memorial_tasks.errors import ConsentRefused, InputRefused, MemorialError, PermitRefused, QualityRefused
from memorial_tasks.observability.logs import Plain
from memorial_tasks.production.consents import permit_for, refusals_told, release_key
from memorial_tasks.production.costs import price
from memorial_tasks.production.credentials import signing_credential, watermark_key
from memorial_tasks.production.graph import DOCUMENT, INPUTS, MATERIAL, ON_REQUEST_INPUTS, gather, seed_of, sources
from memorial_tasks.production.models import seal_base, with_base
from memorial_tasks.production.params import step_params
from memorial_tasks.production.remote import require_command
from memorial_tasks.production.studio import Studio, Who
from memorial_tasks.steps.code import code_version, modalities, result_key
from memorial_tasks.steps.process import JOB, StepSecrets
from memorial_tasks.steps.runner import Ended, Ticket, local_command, outcome, run_step_locally
from memorial_tasks.vault.signing import public_pem
from memorial_tasks.vault.store import EncryptedStore

log = logging.getLogger(__name__)

Progress = Callable[[float, str], None]
RUNNABLE = {OrderState.SUBMITTED, OrderState.RUNNING, OrderState.IN_REVIEW, OrderState.DELIVERED}


@dataclass(frozen=True)
class Planned:
    """A step with everything that decides its result."""

    step: str
    params: dict[str, Any]
    inputs: tuple[ArtifactRef, ...]
    version: str
    key: str
    seed: int

    def prefix(self, order: OrderRow) -> str:
        """Where its outputs lie in the vault."""
        return f"vault://orders/{order.order_id}/{self.step}/{self.key[:32]}"


def _originals(connection: Connection, order: OrderRow) -> dict[str, list[ArtifactRef]]:
    """Material and documents of the order under the names the steps know them by."""
    found: dict[str, list[ArtifactRef]] = {MATERIAL: [], DOCUMENT: []}
    for row in registry.list_materials(connection, order.order_id):
        if row.kind is MaterialKind.EVIDENCE:
            continue  # papers are for people; no step ever sees them
        document = row.kind in {MaterialKind.TRANSCRIPT, MaterialKind.DOCUMENT}
        found[DOCUMENT if document else MATERIAL].append(
            ArtifactRef(name=row.material_id, uri=row.uri, sha256=row.sha256, size=row.size, media_type=row.media_type)
        )
    return found


def plan(studio: Studio, connection: Connection, order: OrderRow, step: str) -> Planned:
    """The step's inputs, parameters and result key as they are now.

    Walks back through the results that lead here, so that a stale result of older code is never built upon.
    Raises `MemorialError` naming the first step that has no result yet.
    """
    done: dict[str, list[ArtifactRef]] = _originals(connection, order)

    def resolve(name: str) -> Planned:
        for source in sources(name):
            if source in done:
                continue
            planned = resolve(source)
            row = registry.find_step(connection, order.order_id, source, planned.key)
            if row is None or row.state != "done":
                raise MemorialError(
                    f"{source} has no result of the code and inputs as they are now",
                    where=name,
                    remedy="run the order again; what is still valid is not repeated",
                )
            done[source] = list(row.outputs)
        params = step_params(studio.settings, order, name)
        inputs = with_base(studio, connection, order, name, params, gather(name, done))
        version, seed = (
            code_version(name),
            seed_of(order.order_id, name, order.revisions.get(name, 0)),
        )
        key = result_key(name, version, params, {artifact.name: artifact.sha256 for artifact in inputs}, seed)
        return Planned(name, params, inputs, version, key, seed)

    return resolve(step)


def current_result(studio: Studio, connection: Connection, order: OrderRow, step: str) -> StepRunRow | None:
    """The finished result of a step as the way through the house stands now, or None."""
    try:
        planned = plan(studio, connection, order, step)
    except MemorialError:
        return None
    row = registry.find_step(connection, order.order_id, step, planned.key)
    return row if row and row.state == "done" else None


def modalities_of(step: str) -> tuple[str, ...]:
    """The modalities a permit must cover for this act."""
    return modalities(step) if step in INPUTS or step in ON_REQUEST_INPUTS else ()


@dataclass(frozen=True)
class Prepared:
    """One attempt at a step, ready to start: everything the data plane needs and the control plane must hand over."""

    planned: Planned
    ticket: Ticket
    secrets: StepSecrets

    @property
    def job_uri(self) -> str:
        """Where the sealed job document lies."""
        return f"{self.ticket.prefix}/{JOB}"


def prepare(studio: Studio, order_id: str, step: str, who: Who) -> Prepared | StepRunRow:
    """First act: ask for permit and key, open the step's row, put the job where the step finds it.

    Returns the step's row instead when its result is there already. A live permit is needed even then: reusing is
    using. Raises `ConsentRefused` when consent does not cover the step now.
    """
    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
        with refusals_told(studio, order, who, "step.refused", step):
            require_runnable(order)
        planned = plan(studio, connection, order, step)
        token = permit_for(studio, connection, order, step, modalities_of(step))
    permit, data_key = release_key(studio, token, order, step, who)
    with studio.transaction() as connection:
        row = registry.start_step(
            connection,
            order_id,
            step,
            planned.key,
            code_version=planned.version,
            params=planned.params,
            inputs=planned.inputs,
        )
        if row.state == "done" and all(studio.store.exists(output.uri) for output in row.outputs):
            log.info("step %s of %s: the result is there, nothing to do", step, order_id)
            return row
        studio.audit(
            connection,
            "step.started",
            who,
            order,
            refs={f"input/{artifact.name}": artifact.sha256 for artifact in planned.inputs[:400]},
            data={"step": step, "result_key": planned.key, "code": planned.version, "seed": planned.seed},
        )
    return prepared_job(studio, order, planned, token, permit, data_key, planned.prefix(order))


def prepared_job(
    studio: Studio, order: OrderRow, planned: Planned, token: str, permit: Permit, data_key: bytes, prefix: str
) -> Prepared:
    """One attempt with its job sealed below `prefix`. Writes nothing into the registry."""
    marks = planned.step in {"seal", "output_gate"}
    job = Job(
        step=planned.step,
        order=order.order_id,
        subject=order.subject_id,
        params=planned.params,
        inputs=planned.inputs,
        output_prefix=prefix,
        result_key=planned.key,
        code_version=planned.version,
        seed=planned.seed,
        permit=token,
        attempt=permit.permit_id,
    )
    secrets = StepSecrets(
        data_key=data_key,
        permit_public_pem=public_pem(studio.keys.permit.public),
        watermark_key=watermark_key(studio.settings.keyring) if marks else b"",
        signing=signing_credential(studio.settings) if marks else None,
    )
    ticket = Ticket(order.order_id, planned.step, planned.key, planned.version, prefix, permit.permit_id)
    prepared = Prepared(planned, ticket, secrets)
    with tempfile.TemporaryDirectory(prefix="memorial-job-") as folder:
        document = Path(folder) / JOB
        document.write_text(job.model_dump_json())
        vault = EncryptedStore(studio.store, data_key, Path(folder))
        seal_base(studio, vault, planned.inputs)
        vault.put(prepared.job_uri, document)
    return prepared


def arguments(prepared: Prepared, store_url: str, s3_endpoint: str | None, assets: Path) -> list[str]:
    """The step's arguments, the same for a subprocess and a pod; how it gets its secrets comes after them."""
    words = [prepared.ticket.step, "--job", prepared.job_uri, "--store", store_url, "--assets", str(assets)]
    return [*words, "--s3-endpoint", s3_endpoint] if s3_endpoint else words


def launch(studio: Studio, prepared: Prepared, progress: Progress | None = None) -> Ended:
    """Second act, here: run the step as a subprocess of ours. As a pod it is `airflow.pods` that does this."""
    settings = studio.settings
    words = arguments(prepared, settings.store_url, settings.s3_endpoint, settings.assets_dir)
    say = progress or _log_progress(prepared.ticket.step)
    return run_step_locally([*local_command(require_command(settings)), *words], prepared.secrets, say)


def collect(studio: Studio, ticket: Ticket, ended: Ended, who: Who) -> StepRunRow:
    """Third act: read the result at its place in the vault and record it, or record the failure and raise it.

    Recording twice records once. Raises what `outcome` raises.
    """
    with studio.transaction() as connection:
        order = studio.order(connection, ticket.order)
    try:
        result = outcome(studio.store, ticket, ended)
    except MemorialError as error:
        _record_failure(studio, order, ticket, error, who)
        raise
    return _record_result(studio, order, result, ticket, who)


def run_step(studio: Studio, order_id: str, step: str, who: Who, progress: Progress | None = None) -> StepRunRow:
    """Run one step of an order on this machine, or return its result when it is there already."""
    prepared = prepare(studio, order_id, step, who)
    if isinstance(prepared, StepRunRow):
        return prepared
    return collect(studio, prepared.ticket, launch(studio, prepared, progress), who)


def compute(
    studio: Studio, order: OrderRow, planned: Planned, token: str, permit: Permit, data_key: bytes, prefix: str
) -> Result:
    """Have a planned step done once more, with its outputs below `prefix`. Writes nothing into the registry."""
    prepared = prepared_job(studio, order, planned, token, permit, data_key, prefix)
    return outcome(studio.store, prepared.ticket, launch(studio, prepared))


def require_runnable(order: OrderRow) -> None:
    """Refuse to work on an order that was stopped, whatever a run still believes."""
    if order.state not in RUNNABLE:
        raise ConsentRefused(
            f"the order is {order.state} and may not go on", where=order.order_id, remedy="see 'memorial order show'"
        )


def _log_progress(step: str) -> Progress:
    last = -1.0

    def say(fraction: float, message: str) -> None:
        nonlocal last
        if fraction - last >= 0.05 or fraction >= 1:
            last = fraction
            log.info("%s %3.0f %% %s", step, 100 * fraction, Plain(message))

    return say


def _record_result(studio: Studio, order: OrderRow, result: Result, ticket: Ticket, who: Who) -> StepRunRow:
    with studio.transaction() as connection:
        cost = price(studio.settings, result.wall_s, result.gpu_minutes)
        currency = studio.settings.currency if cost is not None else ""
        registry.finish_step(connection, result, cost=cost, currency=currency)
        refs = {f"output/{artifact.name}": artifact.sha256 for artifact in result.outputs[:400]}
        data: dict[str, Any] = {
            "step": result.step,
            "result_key": result.result_key,
            "code": result.code_version,
            "seed": result.seed,
            "wall_s": result.wall_s,
            "peak_memory_mb": result.peak_memory_mb,
            "resumed": result.resumed,
            "permit": ticket.permit,
        }
        if result.gpu:
            data |= {"gpu": result.gpu.replace(" ", "-"), "gpu_minutes": result.gpu_minutes}
            data |= {"gpu_driver": result.gpu_driver} if result.gpu_driver else {}
        studio.audit(connection, "step.finished", who, order, refs=refs, data=data)
        row = registry.find_step(connection, order.order_id, result.step, result.result_key)
    if row is None:
        raise MemorialError("the result was not recorded", where=result.step, remedy="run the step again")
    return row


def reason_code(error: MemorialError) -> str:
    """A machine word for the registry: the first problem's code, or the kind of error."""
    if isinstance(error, InputRefused) and error.problems:
        return error.problems[0].code
    if isinstance(error, PermitRefused):
        return "consent.permit_refused"
    if isinstance(error, ConsentRefused):
        return "consent.refused"
    if isinstance(error, QualityRefused):
        return "quality.refused"
    return "step.failed" if error.retryable else "step.refused"


def _record_failure(studio: Studio, order: OrderRow, ticket: Ticket, error: MemorialError, who: Who) -> None:
    with studio.transaction() as connection:
        registry.fail_step(connection, order.order_id, ticket.step, ticket.result_key, reason_code(error))
        studio.audit(
            connection,
            "step.failed",
            who,
            order,
            reason_code=reason_code(error),
            data={"step": ticket.step, "result_key": ticket.result_key, "retryable": error.retryable},
        )
