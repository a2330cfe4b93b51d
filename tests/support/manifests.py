"""What a Kubernetes API server checks beyond its schema, for the pods we make: `kubernetes-validate` knows the schema
only (unknown fields, wrong types) and lets bad quantities, requests above limits and mounts without volumes through."""

import re
from decimal import Decimal
from typing import Any

Json = dict[str, Any]

# Kubernetes, "Resource units": plain, milli, decimal and binary suffixes.
SUFFIXES = {"": 1, "m": Decimal("0.001"), "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15,
            "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}  # fmt: skip
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def quantity(text: str) -> Decimal:
    """A resource quantity as a number; `ValueError` when it is none."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)", str(text))
    if found is None or found.group(2) not in SUFFIXES:
        raise ValueError(f"not a quantity: {text}")
    return Decimal(found.group(1)) * SUFFIXES[found.group(2)]


def problems(pod: Json) -> list[str]:
    """Everything wrong with the pod; empty when there is nothing."""
    spec, metadata = pod["spec"], pod["metadata"]
    found = [] if _NAME.fullmatch(metadata.get("name", "")) else ["metadata.name: not a DNS subdomain"]
    for key, value in metadata.get("labels", {}).items():
        if not _LABEL.fullmatch(value) or not _KEY.fullmatch(key):
            found.append(f"metadata.labels: {key}={value} is not a label")
    volumes = [volume["name"] for volume in spec.get("volumes", ())]
    found += [f"volumes: {name} twice" for name in {name for name in volumes if volumes.count(name) > 1}]
    for volume in spec.get("volumes", ()):
        if len(volume) != 2:
            found.append(f"volumes.{volume['name']}: exactly one source is needed")
        found += _quantities(
            f"volumes.{volume['name']}", {"sizeLimit": (volume.get("emptyDir") or {}).get("sizeLimit")}
        )
    if spec.get("restartPolicy") not in {"Never", "OnFailure", "Always"}:
        found.append("restartPolicy: unknown")
    for container in spec["containers"]:
        found += _container(container, volumes)
    return found


def _quantities(where: str, values: Json) -> list[str]:
    found = []
    for key, value in values.items():
        if value is None:
            continue
        try:
            quantity(value)
        except ValueError as error:
            found.append(f"{where}.{key}: {error}")
    return found


def _container(container: Json, volumes: list[str]) -> list[str]:
    where = f"containers.{container['name']}"
    found = [] if container.get("image") else [f"{where}.image: is missing"]
    resources = container.get("resources", {})
    requests, limits = resources.get("requests", {}), resources.get("limits", {})
    bad = _quantities(f"{where}.requests", requests) + _quantities(f"{where}.limits", limits)
    if bad:
        return found + bad
    for name, value in requests.items():
        if name in limits and quantity(value) > quantity(limits[name]):
            found.append(f"{where}.requests.{name}: more than its limit")
        if "/" in name and limits.get(name) != value:
            found.append(f"{where}.requests.{name}: an extended resource must equal its limit")
    mounts = container.get("volumeMounts", ())
    found += [f"{where}.volumeMounts: no volume {m['name']}" for m in mounts if m["name"] not in volumes]
    paths = [mount["mountPath"] for mount in mounts]
    return found + [f"{where}.volumeMounts: {path} twice" for path in {path for path in paths if paths.count(path) > 1}]
