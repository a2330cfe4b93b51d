"""`memorial doctor`: each thing a studio needs on this machine, whether it is there, and what to do when it is not.

Where steps run as pods this machine is the control plane alone: it needs no package and no model file of the worker.
"""

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from memorial_tasks.errors import MemorialError
from memorial_tasks.settings import Settings

PACKAGES = {
    "control": ("airflow", "psycopg2", "boto3", "httpx", "jinja2"),
    "worker": ("torch", "cv2", "librosa", "pyworld", "av", "great_expectations", "c2pa", "safetensors", "pocketsphinx"),
}
LEAST_FREE_GB = 5
PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Check:
    """One line of the doctor."""

    what: str
    ok: bool
    detail: str
    remedy: str = ""


def examine(settings: Settings) -> list[Check]:
    """All checks, in the order in which things are needed."""
    return list(_checks(settings))


def _checks(settings: Settings) -> Iterator[Check]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Check("Python", sys.version_info[:2] >= (3, 11), version, "install Python 3.11")
    pods = settings.step_runner == "kubernetes"
    yield from (_packages(extra, needed=not (pods and extra == "worker")) for extra in PACKAGES)
    obsolete = importlib.util.find_spec("great_expectations_provider") is not None
    yield Check(
        "no old Great Expectations provider",
        not obsolete,
        "installed" if obsolete else "absent",
        "pip uninstall airflow-provider-great-expectations; it does not fit Airflow 3.3",
    )
    settings.root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.root).free / 1e9
    yield Check("disk", free > LEAST_FREE_GB, f"{free:.0f} GB free", f"keep {LEAST_FREE_GB} GB free for the vault")
    yield from _database(settings)
    yield from _keys(settings)
    yield _store(settings)
    yield _delivery(settings)
    yield _gate(settings)
    yield _pods(settings) if pods else _assets(settings)
    yield _audit(settings)
    yield _airflow(settings)


def _packages(extra: str, *, needed: bool) -> Check:
    missing = [name for name in PACKAGES[extra] if importlib.util.find_spec(name) is None]
    if missing and not needed:
        what = (
            "not here, and not needed for steps in pods; 'memorial order submit' and 'preview' need a machine with them"
        )
        return Check(f"packages of '{extra}'", True, what)
    detail = f"missing: {', '.join(missing)}" if missing else "all"
    return Check(f"packages of '{extra}'", not missing, detail, f"pip install -c constraints.txt '.[{extra}]'")


def _audit(settings: Settings) -> Check:
    """Where checkpoints go, and whether that leaves this machine: a copy beside the database binds nobody."""
    outside = [name for name, on in (("bucket", settings.audit_bucket), ("time stamps", settings.tsa_url)) if on]
    roots = settings.tsa_roots
    if settings.tsa_url and not (roots and roots.is_file()):
        return Check(
            "audit anchors", False, "no certificates for the time stamps", "set MEMORIAL_TSA_ROOTS to a PEM file"
        )
    if not outside and settings.profile == "production":
        return Check(
            "audit anchors", False, "this machine's folder only", "set MEMORIAL_AUDIT_BUCKET or MEMORIAL_TSA_URL"
        )
    return Check("audit anchors", True, ", ".join(["folder", *outside]))


def _database(settings: Settings) -> Iterator[Check]:
    from memorial_tasks.database.migrate import pending
    from memorial_tasks.database.server import database_url

    remedy = "run 'memorial init'; with a server of your own, check MEMORIAL_DATABASE_URL"
    try:
        waiting = pending(database_url(settings.database_url, settings.database_dir))
    except MemorialError as error:
        yield Check("database", False, error.what, error.remedy or remedy)
        return
    kind = "your server" if settings.database_url else "embedded"
    yield Check("database", True, f"answers ({kind})", remedy)
    detail = f"{len(waiting)} missing" if waiting else "all applied"
    yield Check("migrations", not waiting, detail, "run 'memorial init'")


def _keys(settings: Settings) -> Iterator[Check]:
    from memorial_tasks.production.credentials import signing_credential

    present = settings.keyring.is_dir()
    private = present and settings.keyring.stat().st_mode & 0o077 == 0
    detail = "private" if private else "readable by others" if present else "absent"
    yield Check("keyring", private, detail, f"chmod 700 {settings.keyring}" if present else "run 'memorial init'")
    try:
        signing_credential(settings)
        own = "the studio's own" if settings.signing_chain else "development authority, not for delivery outside"
        yield Check("signing credential", True, own)
    except MemorialError as error:
        yield Check("signing credential", False, error.what, error.remedy)


def _store(settings: Settings) -> Check:
    from memorial_tasks.vault.store import open_store

    try:
        open_store(settings.store_url, settings.s3_endpoint).exists("vault://doctor/none")
    except Exception as error:
        return Check("vault", False, type(error).__name__, "check MEMORIAL_STORE and its credentials")
    return Check("vault", True, settings.store_url.split("://")[0])


def _delivery(settings: Settings) -> Check:
    """Where films go, whether it may be used for that, and whether links can be reached from outside."""
    from memorial_tasks.production.deliveries import target_of

    target = target_of(settings)
    try:
        target.check()
    except MemorialError as error:
        return Check("delivery", False, error.what, error.remedy)
    if settings.profile == "production" and not (settings.delivery_url or "").startswith("https://"):
        return Check("delivery", False, "links have no https address", "set MEMORIAL_DELIVERY_URL to the proxy's")
    return Check("delivery", True, "this machine's folder" if target.name == "local" else target.name)


def _gate(settings: Settings) -> Check:
    """The link gate's own folder of keys, which the gate itself never makes."""
    from memorial_tasks.delivery.keys import gate_keys

    try:
        gate_keys(settings.gate_dir)
    except MemorialError as error:
        return Check("link gate", False, error.what, error.remedy)
    return Check("link gate", True, "has its own key")


def _pods(settings: Settings) -> Check:
    """What every pod of a step is made of: an image, and a vault it can reach."""
    from memorial_tasks.production.remote import pod_store, require_command, require_image

    try:
        image = require_image(settings)
        require_command(settings)
        pod_store(settings, "doctor")
    except MemorialError as error:
        return Check("steps in pods", False, f"{error.what} ({error.where})", error.remedy)
    return Check("steps in pods", True, image.rpartition("@")[2][:19] if "@" in image else image)


def _assets(settings: Settings) -> Check:
    from memorial_tasks.assets import missing_assets

    missing = missing_assets(settings.assets_dir)
    return Check(
        "face models and font",
        not missing,
        f"missing: {', '.join(missing)}" if missing else "all, digests right",
        "run 'memorial init'",
    )


def _airflow(settings: Settings) -> Check:
    from memorial_tasks.airflow.supervisor import running

    folder = settings.airflow_home / "run"
    pids = running(folder)
    if pids and _changed_since((folder / "pids.json").stat().st_mtime):
        detail = f"{len(pids)} processes, started before the code changed: they refuse the steps that changed"
        return Check("Airflow", False, detail, "memorial studio stop, then memorial studio start")
    if not pids and settings.base_url:
        return _airflow_elsewhere(settings.base_url)
    return Check(
        "Airflow", bool(pids), f"{len(pids)} processes" if pids else "not running", "run 'memorial studio start'"
    )


def _changed_since(started: float, package: Path = PACKAGE) -> bool:
    """Whether a file of the code is newer than the processes that run it, as after an update."""
    return any(path.stat().st_mtime > started for path in package.rglob("*.py"))


def _airflow_elsewhere(address: str) -> Check:
    """Airflow that others start (Helm, compose), asked at its public address."""
    import httpx

    remedy = f"look at Airflow's own pods or containers; it was asked at {address}"
    try:
        answer = httpx.get(f"{address.rstrip('/')}/api/v2/monitor/health", timeout=10, trust_env=False)
        parts = answer.raise_for_status().json()
        ill = sorted(name for name, part in parts.items() if part and part.get("status") not in (None, "healthy"))
    except (httpx.HTTPError, ValueError, AttributeError) as error:
        return Check("Airflow", False, f"does not answer ({type(error).__name__})", remedy)
    return Check("Airflow", not ill, f"not healthy: {', '.join(ill)}" if ill else "answers, healthy", remedy)
