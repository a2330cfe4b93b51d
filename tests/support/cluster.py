"""A named test double: a Kubernetes cluster of one node on loopback, as far as `KubernetesPodOperator` sees it.

The API server answers the calls the operator makes (pods, logs, events, secrets) in the API's own JSON. The "kubelet"
runs the container's real command as a process: in a working folder of its own, with the environment of the pod's spec
and the image's few variables and nothing else, its mounts as folders (paths in arguments and environment that lie below
a mount point are rewritten to where the folder really is). Exit statuses are the process's own.

Reasons for a double instead of a cluster:

* evictions, lost nodes, lost logs, a network that is away for a minute, an API server that restarts with or without its
  memory must be provoked at a chosen moment, hundreds of times, on two cores, in seconds;
* a real cluster cannot be had everywhere these tests run; where one can, `infra/pods` says how.

What it does like a real one: a pod waits for its secret and for a free GPU; secrets owned by a pod go with the pod;
deletion sends SIGTERM, waits the grace time and kills; `activeDeadlineSeconds` ends a pod; a request needs the bearer
token and a verb that the Role in ``infra/pods/rbac.yaml`` grants; manifests that the schema alone would let through
(request above limit, a mount without its volume) are refused.

What it does not: no images are pulled or run, no isolation of files or network between processes, no limits enforced,
no scheduler beyond GPUs, no admission plugins. ``infra/pods/README.md`` says what of that was seen on a real cluster.

Faults are asked for at ``/double/...`` on the control address, which is reachable while the API's own is cut off.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.support.manifests import problems

ROOT = Path(__file__).resolve().parents[2]
TICK = 0.05
MERGES = ("merge-patch", "strategic-merge-patch")
# What an image brings: an interpreter on the path, and the package.
IMAGE = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "0"}
# The shell stays when the command is signalled, and writes down how it ended.
WRAPPER = """\
"$@" & echo $! > "$RUN/pid.new"; mv "$RUN/pid.new" "$RUN/pid"
wait $!; echo $? > "$RUN/exit.new"; mv "$RUN/exit.new" "$RUN/exit"
"""

Json = dict[str, Any]


def now() -> str:
    """Kubernetes' time stamps."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def granted(role: Path = ROOT / "infra" / "pods" / "rbac.yaml") -> set[tuple[str, str]]:
    """Every (verb, resource) the Role grants."""
    rules = next(doc for doc in yaml.safe_load_all(role.read_text()) if doc["kind"] == "Role")["rules"]
    return {(verb, resource) for rule in rules for verb in rule["verbs"] for resource in rule["resources"]}


def status(code: int, reason: str, message: str) -> JSONResponse:
    """An API error."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return JSONResponse(body | {"message": message}, status_code=code)


def selects(selector: str, labels: Mapping[str, str]) -> bool:
    """A label selector: ``a=b``, ``a!=b``, ``!a``, ``a``, joined by commas."""
    for part in filter(None, selector.split(",")):
        if "!=" in part:
            key, value = part.split("!=")
            if labels.get(key) == value:
                return False
        elif "=" in part:
            key, value = part.replace("==", "=").split("=")
            if labels.get(key) != value:
                return False
        elif part.startswith("!"):
            if part[1:] in labels:
                return False
        elif part not in labels:
            return False
    return True


@dataclass
class Faults:
    """What is wrong at the moment."""

    delay: float = 0.0  # seconds a new pod waits before it is scheduled
    lose_logs: bool = False
    refuse: int = 0  # so many coming requests are answered with 503


@dataclass
class Cluster:
    """Objects, processes and faults. Objects are mirrored into files, so that a restart can keep them."""

    folder: Path
    gpus: int = 1
    faults: Faults = field(default_factory=Faults)
    pods: dict[str, Json] = field(default_factory=dict)
    secrets: dict[str, Json] = field(default_factory=dict)
    history: list[Json] = field(default_factory=list)

    # --- objects ------------------------------------------------------------------------------------------

    def load(self) -> None:
        """What an earlier API server wrote; processes whose pod is not among it are ended, as a kubelet does."""
        for kind, objects in (("pods", self.pods), ("secrets", self.secrets)):
            (self.folder / kind).mkdir(parents=True, exist_ok=True)
            for path in (self.folder / kind).glob("*.json"):
                objects[path.stem] = json.loads(path.read_text())
        (self.folder / "run").mkdir(exist_ok=True)
        for run in (self.folder / "run").iterdir():
            if run.name not in self.pods:
                self.signal(run.name, signal.SIGKILL)
                shutil.rmtree(run, ignore_errors=True)

    def save(self, kind: str, name: str) -> None:
        """Mirror one object."""
        objects = self.pods if kind == "pods" else self.secrets
        path = self.folder / kind / f"{name}.json"
        if name not in objects:
            path.unlink(missing_ok=True)
            return
        temporary = path.with_suffix(".new")
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(objects[name]))
        temporary.replace(path)

    def note(self, what: str, name: str, **more: Any) -> None:
        """Something happened: kept for the tests to read."""
        self.history.append({"what": what, "name": name, "at": time.time(), **more})

    # --- the kubelet --------------------------------------------------------------------------------------

    def run_folder(self, name: str) -> Path:
        return self.folder / "run" / name

    def process(self, name: str) -> int | None:
        """Process id of the pod's command while it runs."""
        path = self.run_folder(name) / "pid"
        if not path.is_file() or (self.run_folder(name) / "exit").is_file():
            return None
        return int(path.read_text())

    def signal(self, name: str, number: int) -> bool:
        """Sends the pod's process a signal; whether there is a process yet."""
        pid = self.process(name)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return pid is not None

    def free_gpus(self) -> int:
        """GPUs that no pod on the node holds."""
        held = [gpus(pod) for pod in self.pods.values() if placed(pod) and not over(pod)]
        return self.gpus - sum(held)

    def round(self) -> None:
        """Look at every pod once."""
        for name in sorted(self.pods, key=lambda one: self.pods[one]["metadata"]["creationTimestamp"]):
            pod = self.pods[name]
            before = json.dumps(pod)
            self._care(name, pod)
            if name in self.pods and json.dumps(pod) != before:
                self.save("pods", name)

    def _care(self, name: str, pod: Json) -> None:
        leaving = pod["metadata"].get("deletionTimestamp")
        if over(pod):
            if leaving:
                self.remove(name)
            return
        if not placed(pod):
            if leaving:
                self.remove(name)
            elif time.time() - pod["double"]["created"] >= self.faults.delay and gpus(pod) <= self.free_gpus():
                pod["status"]["conditions"].append({"type": "PodScheduled", "status": "True"})
                self.note("scheduled", name)
            return
        if "started" not in pod["double"]:
            self._start(name, pod, bool(leaving))
            return
        self._watch(name, pod, bool(leaving))

    def _start(self, name: str, pod: Json, leaving: bool) -> None:
        wanted = [v["secret"]["secretName"] for v in pod["spec"].get("volumes", ()) if "secret" in v]
        if leaving:
            self.remove(name)
        elif all(secret in self.secrets for secret in wanted):
            self.start(name, pod)
            pod["double"]["started"] = time.time()
            pod["status"] |= {"phase": "Running", "startTime": now(), "containerStatuses": [container({"running": {}})]}
            self.note("started", name)

    def _watch(self, name: str, pod: Json, leaving: bool) -> None:
        code = self.exit_code(name)
        deadline = pod["spec"].get("activeDeadlineSeconds")
        if code is not None:
            self.finish(name, pod, code)
            if leaving:
                self.remove(name)
        elif leaving:
            asked = pod["double"].get("asked")
            if asked is None and self.signal(name, signal.SIGTERM):  # once: a second one would find it on its way out
                pod["double"]["asked"] = time.time()
            elif asked is not None and time.time() - asked >= grace(pod):
                self.signal(name, signal.SIGKILL)
        elif deadline and time.time() - pod["double"]["started"] > deadline:
            self.signal(name, signal.SIGKILL)
            self.finish(name, pod, 137, reason="DeadlineExceeded")

    def exit_code(self, name: str) -> int | None:
        path = self.run_folder(name) / "exit"
        return int(path.read_text()) if path.is_file() else None

    def finish(self, name: str, pod: Json, code: int, reason: str = "") -> None:
        """The container ended."""
        ended = {"exitCode": code, "reason": "Completed" if code == 0 else "Error", "finishedAt": now()}
        pod["status"] |= {
            "phase": "Succeeded" if code == 0 else "Failed",
            "containerStatuses": [container({"terminated": ended})],
        }
        if reason:
            pod["status"]["reason"] = reason
        self.clear_memory(name)
        self.note("ended", name, code=code, reason=reason)

    def clear_memory(self, name: str) -> None:
        """Volumes in memory go when the pod ends, the secret's among them."""
        shutil.rmtree(self.run_folder(name) / "volumes", ignore_errors=True)

    def evict(self, name: str) -> None:
        """What a node under pressure does: the process is killed, the pod stays as failed."""
        self.signal(name, signal.SIGKILL)
        pod = self.pods[name]
        pod["status"]["conditions"].append(
            {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}
        )
        self.finish(name, pod, 137, reason="Evicted")
        self.save("pods", name)

    def vanish(self, name: str) -> None:
        """A node that is gone for good: no status is left, the pod is not known any more."""
        self.signal(name, signal.SIGKILL)
        self.remove(name)

    def start(self, name: str, pod: Json) -> None:
        """Run the container's command."""
        run = self.run_folder(name)
        shutil.rmtree(run, ignore_errors=True)
        (run / "cwd").mkdir(parents=True)
        spec = pod["spec"]["containers"][0]
        mounts = dict(self._mounts(run, pod, spec))

        anywhere = "|".join(re.escape(path) for path in sorted(mounts, key=len, reverse=True))

        def real(text: str) -> str:
            return re.sub(rf"(?<![\w.-])({anywhere})(?=/|$)", lambda found: mounts[found.group(1)], text)

        words = [real(word) for word in (*spec.get("command", ()), *spec.get("args", ()))]
        words = [sys.executable, *words[1:]] if words[0] == "python" else words
        env = {item["name"]: real(str(item.get("value", ""))) for item in spec.get("env", ())}
        image = IMAGE | {"PYTHONPATH": str(ROOT), "HOME": mounts.get("/tmp", str(run / "cwd"))}
        image["TMPDIR"] = image["HOME"]
        with (run / "log").open("wb") as log:
            subprocess.Popen(
                ["/bin/sh", "-c", WRAPPER, "sh", *words],
                cwd=run / "cwd",
                env=image | env | {"RUN": str(run)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _mounts(self, run: Path, pod: Json, spec: Json) -> Iterator[tuple[str, str]]:
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", ())}
        for mount in spec.get("volumeMounts", ()):
            volume = volumes[mount["name"]]
            if "hostPath" in volume:
                base = Path(volume["hostPath"]["path"]) / mount.get("subPath", "")
                # The command names the vault, of which the mount is one folder.
                yield self._vault(run, mount["mountPath"], base)
                continue
            folder = run / "volumes" / mount["name"]
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if "secret" in volume:
                self.write_secret(volume["secret"]["secretName"], folder)
            yield mount["mountPath"], str(folder)

    def write_secret(self, name: str, folder: Path) -> None:
        """The secret's files as the kubelet shows them: each one whole, also while a process reads it."""
        for key, value in self.secrets[name]["data"].items():
            fresh = folder / f".{key}.new"
            fresh.unlink(missing_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "wb") as handle:
                handle.write(base64.b64decode(value))
            fresh.replace(folder / key)

    def show_secret(self, name: str) -> None:
        """A changed secret reaches the pods that mount it (at once; a kubelet takes a minute or two)."""
        for pod_name, pod in self.pods.items():
            for volume in pod["spec"].get("volumes", ()):
                folder = self.run_folder(pod_name) / "volumes" / volume["name"]
                if volume.get("secret", {}).get("secretName") == name and folder.is_dir():
                    self.write_secret(name, folder)

    def _vault(self, run: Path, mount_path: str, base: Path) -> tuple[str, str]:
        """``/vault/orders/ID`` becomes a vault of the pod's own in which a link leads to that one order."""
        root = run / "vault"
        parts = Path(mount_path).parts[2:]
        (root / Path(*parts[:-1])).mkdir(parents=True, exist_ok=True)
        (root / Path(*parts)).symlink_to(base)
        return f"/{Path(mount_path).parts[1]}", str(root)

    def remove(self, name: str) -> None:
        """The pod is no more, and what it owned goes with it."""
        pod = self.pods.pop(name)
        self.save("pods", name)
        self.note("deleted", name)
        self.clear_memory(name)
        shutil.rmtree(self.run_folder(name) / "cwd", ignore_errors=True)
        for secret, body in list(self.secrets.items()):
            owners = body["metadata"].get("ownerReferences", ())
            if any(owner["uid"] == pod["metadata"]["uid"] for owner in owners):
                del self.secrets[secret]
                self.save("secrets", secret)
                self.note("secret collected", secret)


def gpus(pod: Json) -> int:
    """GPUs the pod asks for."""
    return sum(
        int(one.get("resources", {}).get("limits", {}).get("nvidia.com/gpu", 0)) for one in pod["spec"]["containers"]
    )


def placed(pod: Json) -> bool:
    """True once a node was found."""
    return any(one["type"] == "PodScheduled" for one in pod["status"]["conditions"])


def over(pod: Json) -> bool:
    """True when it will not run again."""
    return pod["status"]["phase"] in {"Succeeded", "Failed"}


def grace(pod: Json) -> float:
    """Seconds between SIGTERM and SIGKILL."""
    given = pod["metadata"].get("deletionGracePeriodSeconds")
    return float(given if given is not None else pod["spec"].get("terminationGracePeriodSeconds", 30))


def container(state: Json) -> Json:
    """The status of the one container."""
    return {"name": "base", "ready": "running" in state, "restartCount": 0, "image": "", "imageID": "", "state": state}


class Api:
    """The API server's side of the cluster."""

    def __init__(self, cluster: Cluster, token: str) -> None:
        self.cluster, self.token, self.rights = cluster, token, granted()

    def app(self) -> Starlette:
        base = "/api/v1/namespaces/{namespace}"
        routes = [
            Route(f"{base}/pods", self._guard("create", "pods", self.create_pod), methods=["POST"]),
            Route(f"{base}/pods", self._guard("list", "pods", self.list_pods), methods=["GET"]),
            Route(f"{base}/pods/{{name}}", self._guard("get", "pods", self.get_pod), methods=["GET"]),
            Route(f"{base}/pods/{{name}}", self._guard("patch", "pods", self.patch_pod), methods=["PATCH"]),
            Route(f"{base}/pods/{{name}}", self._guard("delete", "pods", self.delete_pod), methods=["DELETE"]),
            Route(f"{base}/pods/{{name}}/log", self._guard("get", "pods/log", self.log), methods=["GET"]),
            Route(f"{base}/events", self._guard("list", "events", self.events), methods=["GET"]),
            Route(f"{base}/secrets", self._guard("create", "secrets", self.create_secret), methods=["POST"]),
            Route(f"{base}/secrets", self._guard("list", "secrets", self.events), methods=["GET"]),
            Route(f"{base}/secrets/{{name}}", self._guard("get", "secrets", self.get_secret), methods=["GET"]),
            Route(f"{base}/secrets/{{name}}", self._guard("patch", "secrets", self.patch_secret), methods=["PATCH"]),
            Route(f"{base}/secrets/{{name}}", self._guard("delete", "secrets", self.delete_secret), methods=["DELETE"]),
        ]
        return Starlette(routes=routes)

    def _guard(self, verb: str, resource: str, handler: Any) -> Any:
        async def answer(request: Request) -> Response:
            if request.headers.get("authorization") != f"Bearer {self.token}":
                return status(401, "Unauthorized", "who are you?")
            if (verb, resource) not in self.rights:
                return status(403, "Forbidden", f'cannot {verb} resource "{resource}"')
            if self.cluster.faults.refuse > 0:
                self.cluster.faults.refuse -= 1
                return status(503, "ServiceUnavailable", "the API server is starting")
            answered: Response = await handler(request)
            return answered

        return answer

    async def create_pod(self, request: Request) -> Response:
        pod = await request.json()
        name = pod["metadata"]["name"]
        found = problems(pod)
        if found:
            return status(422, "Invalid", "; ".join(found))
        if name in self.cluster.pods:
            return status(409, "AlreadyExists", f'pods "{name}" already exists')
        pod["metadata"] |= {
            "uid": str(uuid.uuid4()), "creationTimestamp": now(), "namespace": request.path_params["namespace"],
        }  # fmt: skip
        pod["status"] = {"phase": "Pending", "conditions": []}
        pod["double"] = {"created": time.time()}
        self.cluster.pods[name] = pod
        self.cluster.save("pods", name)
        self.cluster.note("created", name, manifest={k: pod[k] for k in ("metadata", "spec")})
        return JSONResponse(shown(pod), status_code=201)

    async def list_pods(self, request: Request) -> Response:
        selector = request.query_params.get("labelSelector", "")
        found = [pod for pod in self.cluster.pods.values() if selects(selector, pod["metadata"].get("labels", {}))]
        return JSONResponse({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [shown(p) for p in found]})

    async def get_pod(self, request: Request) -> Response:
        return self._pod(request.path_params["name"])

    def _pod(self, name: str) -> Response:
        pod = self.cluster.pods.get(name)
        return JSONResponse(shown(pod)) if pod else status(404, "NotFound", f'pods "{name}" not found')

    async def patch_pod(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name in self.cluster.pods:
            labels = (await request.json()).get("metadata", {}).get("labels", {})
            self.cluster.pods[name]["metadata"].setdefault("labels", {}).update(labels)
            self.cluster.save("pods", name)
        return self._pod(name)

    async def delete_pod(self, request: Request) -> Response:
        name = request.path_params["name"]
        pod = self.cluster.pods.get(name)
        if pod is None:
            return self._pod(name)
        body = await request.body()
        wanted = json.loads(body or b"{}").get("gracePeriodSeconds", request.query_params.get("gracePeriodSeconds"))
        pod["metadata"].setdefault("deletionTimestamp", now())
        if wanted is not None:
            pod["metadata"]["deletionGracePeriodSeconds"] = int(wanted)
        self.cluster.note("deletion asked", name)
        return JSONResponse(shown(pod))

    async def log(self, request: Request) -> Response:
        name = request.path_params["name"]
        path = self.cluster.run_folder(name) / "log"
        if self.cluster.faults.lose_logs or name not in self.cluster.pods or not path.is_file():
            return status(404, "NotFound", "the log is not there any more")
        text = path.read_text(errors="replace")
        if request.query_params.get("timestamps") == "true":
            text = "".join(f"{now()} {line}\n" for line in text.splitlines())
        return PlainTextResponse(text)

    async def events(self, _request: Request) -> Response:
        return JSONResponse({"kind": "EventList", "apiVersion": "v1", "metadata": {}, "items": []})

    async def create_secret(self, request: Request) -> Response:
        secret = await request.json()
        name = secret["metadata"]["name"]
        if name in self.cluster.secrets:
            return status(409, "AlreadyExists", f'secrets "{name}" already exists')
        secret["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
        owners = [owner["name"] for owner in secret["metadata"].get("ownerReferences", ())]
        self.cluster.note("secret created", name, owners=owners)
        if owners and all(owner not in self.cluster.pods for owner in owners):
            # The garbage collector removes what is owned by nobody who is there.
            self.cluster.note("secret collected", name)
        else:
            self.cluster.secrets[name] = secret
            self.cluster.save("secrets", name)
        return JSONResponse(secret, status_code=201)

    async def get_secret(self, request: Request) -> Response:
        name = request.path_params["name"]
        secret = self.cluster.secrets.get(name)
        return JSONResponse(secret) if secret else status(404, "NotFound", f'secrets "{name}" not found')

    async def patch_secret(self, request: Request) -> Response:
        name = request.path_params["name"]
        secret = self.cluster.secrets.get(name)
        if secret is None:
            return status(404, "NotFound", f'secrets "{name}" not found')
        if secret.get("immutable"):
            return status(422, "Invalid", "data: Forbidden: field is immutable when `immutable` is set")
        if request.headers.get("content-type") not in {f"application/{kind}+json" for kind in MERGES}:
            return status(415, "UnsupportedMediaType", "the body of the request was in an unknown format")
        secret["data"] |= (await request.json())["data"]
        self.cluster.save("secrets", name)
        self.cluster.note("secret patched", name)
        self.cluster.show_secret(name)
        return JSONResponse(secret)

    async def delete_secret(self, request: Request) -> Response:
        name = request.path_params["name"]
        if self.cluster.secrets.pop(name, None) is None:
            return status(404, "NotFound", f'secrets "{name}" not found')
        self.cluster.save("secrets", name)
        self.cluster.note("secret deleted", name)
        return JSONResponse({"kind": "Status", "status": "Success"})


def shown(pod: Json) -> Json:
    """The pod without the double's own notes."""
    return {"kind": "Pod", "apiVersion": "v1"} | {key: value for key, value in pod.items() if key != "double"}


class Front:
    """The network between Airflow and the API server: hands bytes on, or drops every connection."""

    def __init__(self, backend: Path) -> None:
        self.backend, self.down_until = backend, 0.0
        self.open: set[asyncio.StreamWriter] = set()

    def cut(self, seconds: float) -> None:
        """Drop what is open now and whatever comes within so many seconds."""
        self.down_until = time.time() + seconds
        for writer in list(self.open):
            writer.transport.abort()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if time.time() < self.down_until:
            writer.transport.abort()
            return
        self.open.add(writer)
        try:
            inner_reader, inner_writer = await asyncio.open_unix_connection(str(self.backend))
            await asyncio.gather(self._pipe(reader, inner_writer), self._pipe(inner_reader, writer))
        except OSError:
            writer.transport.abort()
        finally:
            self.open.discard(writer)

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.close()


def control(cluster: Cluster, front: Front) -> Starlette:
    """Where tests ask for faults and look at what happened."""

    async def fault(request: Request) -> Response:
        body = await request.json()
        match request.path_params["kind"]:
            case "evict":
                cluster.evict(body["name"])
            case "vanish":
                cluster.vanish(body["name"])
            case "network":
                front.cut(float(body["seconds"]))
            case "faults":
                for key, value in body.items():
                    setattr(cluster.faults, key, value)
            case _:
                return JSONResponse({}, status_code=404)
        return JSONResponse({"ok": True})

    async def look(_request: Request) -> Response:
        pods = {
            name: {"phase": pod["status"]["phase"], "labels": pod["metadata"].get("labels", {}),
                   "pid": cluster.process(name), "deleting": "deletionTimestamp" in pod["metadata"]}
            for name, pod in cluster.pods.items()
        }  # fmt: skip
        return JSONResponse({"pods": pods, "secrets": sorted(cluster.secrets), "history": cluster.history})

    return Starlette(routes=[Route("/double/state", look), Route("/double/{kind}", fault, methods=["POST"])])


async def serve(port: int, control_port: int, folder: Path, token: str, gpus: int) -> None:
    """Run API server, kubelet and control address until the process is ended."""
    cluster = Cluster(folder, gpus)
    cluster.load()
    backend = folder / "api.sock"
    backend.unlink(missing_ok=True)
    front = Front(backend)
    quiet: dict[str, Any] = {"log_level": "warning", "access_log": False, "lifespan": "off"}
    api = uvicorn.Server(uvicorn.Config(Api(cluster, token).app(), uds=str(backend), **quiet))
    ctl = uvicorn.Server(uvicorn.Config(control(cluster, front), host="127.0.0.1", port=control_port, **quiet))
    listener = await asyncio.start_server(front.handle, "127.0.0.1", port)

    async def kubelet() -> None:
        while True:
            cluster.round()
            await asyncio.sleep(TICK)

    async with listener:
        await asyncio.gather(api.serve(), ctl.serve(), kubelet())


def main() -> None:
    """``python -m tests.support.cluster --port P --control-port C --folder DIR``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--control-port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--token", default="test-token")
    parser.add_argument("--gpus", type=int, default=1)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(serve(given.port, given.control_port, given.folder, given.token, given.gpus))


if __name__ == "__main__":
    main()
