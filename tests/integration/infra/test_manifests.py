"""The cluster's manifests: valid for the Kubernetes we name, and closed where they have to be.

No cluster is needed: schemas come with kubernetes-validate, meaning is checked here. What a real cluster says to them
is told in infra/README.md.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
KUBERNETES = "1.34"
FILES = sorted([*(ROOT / "infra" / "k8s").glob("*.yaml"), *(ROOT / "infra" / "pods").glob("rbac.yaml")])
pytestmark = pytest.mark.integration


def documents(path: Path) -> list[dict[str, Any]]:
    return [found for found in yaml.safe_load_all(path.read_text("utf-8")) if found]


@cache
def everything() -> tuple[dict[str, Any], ...]:
    return tuple(document for path in FILES for document in documents(path))


def of(kind: str) -> list[dict[str, Any]]:
    return [document for document in everything() if document["kind"] == kind]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_manifest_is_valid_for_the_kubernetes_we_name(path: Path) -> None:
    import kubernetes_validate

    for document in documents(path):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


@pytest.mark.parametrize("namespace", ["memorial", "memorial-steps"])
def test_both_namespaces_begin_closed_and_take_restricted_pods_only(namespace: str) -> None:
    (found,) = [item for item in of("Namespace") if item["metadata"]["name"] == namespace]
    labels = found["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert labels["pod-security.kubernetes.io/enforce-version"] == f"v{KUBERNETES}"
    closed = [
        policy
        for policy in of("NetworkPolicy")
        if policy["metadata"] == {"name": "default-deny", "namespace": namespace}
    ]
    assert closed[0]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def policies(namespace: str) -> list[dict[str, Any]]:
    return [policy["spec"] for policy in of("NetworkPolicy") if policy["metadata"]["namespace"] == namespace]


def test_a_step_reaches_names_and_the_store_and_nothing_else() -> None:
    rules = [rule for policy in policies("memorial-steps") for rule in policy.get("egress", [])]
    assert len(rules) == 2
    names, store = rules
    assert {port["port"] for port in names["ports"]} == {53}
    assert [port["port"] for port in store["ports"]] == [443]
    assert all(set(peer) == {"ipBlock"} for peer in store["to"])
    assert store["to"][0]["ipBlock"]["cidr"] != "0.0.0.0/0"
    assert not [rule for policy in policies("memorial-steps") for rule in policy.get("ingress", [])]
    assert all(policy["podSelector"] == {} for policy in policies("memorial-steps")), "every pod there is a step"


def test_nobody_talks_to_the_whole_internet() -> None:
    for policy in of("NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            assert rule.get("to"), f"{policy['metadata']['name']}: a rule without `to` opens everything"
            assert rule.get("ports")
            assert all(peer.get("ipBlock", {}).get("cidr") != "0.0.0.0/0" for peer in rule["to"])


def test_only_the_control_plane_the_metrics_and_the_gate_reach_the_database() -> None:
    reaching = {
        (policy["metadata"]["namespace"], policy["metadata"]["name"])
        for policy in of("NetworkPolicy")
        for rule in policy["spec"].get("egress", [])
        if any(port["port"] == 5432 for port in rule["ports"])
    }
    allowed = {"control-plane-out", "metrics-from-monitoring", "links-from-the-ingress"}
    assert reaching == {("memorial", name) for name in allowed}


def test_strangers_come_to_the_gate_through_the_ingress_and_it_goes_nowhere_near_airflow() -> None:
    (gate,) = [
        policy["spec"]
        for policy in of("NetworkPolicy")
        if policy["spec"]["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "memorial-gate"}}
    ]
    (inward,) = gate["ingress"]
    assert [port["port"] for port in inward["ports"]] == [8090]
    assert inward["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}]
    assert sorted({port["port"] for rule in gate["egress"] for port in rule["ports"]}) == [53, 443, 5432]
    (service,) = [found for found in of("Service") if found["metadata"]["name"] == "memorial-gate"]
    assert service["spec"].get("type", "ClusterIP") == "ClusterIP"


def test_the_gate_gets_its_own_account_login_and_key_and_no_secret_of_the_studio() -> None:
    from memorial_tasks.settings import Settings

    (gate,) = [found for found in of("Deployment") if found["metadata"]["name"] == "memorial-gate"]
    pod = gate["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "memorial-gate"
    (container,) = pod["containers"]
    assert "envFrom" not in container
    named = {entry["name"] for entry in container["env"]}
    assert {name.removeprefix("MEMORIAL_").lower() for name in named} <= Settings.model_fields.keys()
    assert not named & {"MEMORIAL_STORE", "MEMORIAL_KMS_KEY_ID", "MEMORIAL_STEP_ROLE_ARN"}
    secrets = {entry["valueFrom"]["secretKeyRef"]["name"] for entry in container["env"] if "valueFrom" in entry}
    secrets |= {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
    assert secrets == {"memorial-gate", "memorial-gate-keys"}
    assert not {subject["name"] for binding in of("RoleBinding") for subject in binding["subjects"]} & {
        "memorial-gate"
    }, "it may do nothing in the cluster"


def test_airflow_may_do_what_starting_pods_needs_and_no_more() -> None:
    assert not of("ClusterRole")
    assert not of("ClusterRoleBinding")
    allowed = {
        (resource, verb)
        for role in of("Role")
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert "*" not in {word for pair in allowed for word in pair}
    assert {resource for resource, _ in allowed} <= {"pods", "pods/log", "events", "secrets"}
    assert ("secrets", "list") not in allowed, "reading every step's key would be one request"
    assert {verb for resource, verb in allowed if resource == "secrets"} <= {"create", "get", "patch", "delete"}


def test_the_chart_makes_no_rights_of_its_own_and_its_accounts_are_bound_to_ours() -> None:
    values = helm()
    assert values["rbac"]["create"] is False
    named = {
        (values[part]["serviceAccount"]["create"], values[part]["serviceAccount"]["name"])
        for part in ("scheduler", "dagProcessor", "triggerer", "apiServer")
    }
    assert named == {(False, "memorial-airflow")}
    bound = {
        (subject["namespace"], subject["name"]) for binding in of("RoleBinding") for subject in binding["subjects"]
    }
    assert ("memorial", "memorial-airflow") in bound
    accounts = {(item["metadata"]["namespace"], item["metadata"]["name"]) for item in of("ServiceAccount")}
    assert ("memorial", "memorial-airflow") in accounts


@pytest.mark.parametrize("name", ["memorial-metrics", "memorial-gate"])
def test_our_own_deployments_meet_the_restricted_standard(name: str) -> None:
    (deployment,) = [found for found in of("Deployment") if found["metadata"]["name"] == name]
    pod = deployment["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "@sha256:" in container["image"]


def helm() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "infra" / "helm" / "values.yaml").read_text("utf-8"))
    return found


def test_the_values_use_airflow_settings_that_exist() -> None:
    """Every section and option under `config` stands in the configuration of the Airflow (and providers) we pin."""
    from airflow.configuration import conf

    known = conf.configuration_description
    for section, options in helm()["config"].items():
        assert section in known, section
        for option in options:
            # auth_manager is an option of core; its value's package is pinned beside Airflow
            assert option in known[section]["options"], f"[{section}] {option}"


def test_production_signs_people_in_with_fab_and_pins_runs_to_commits() -> None:
    values = helm()
    assert values["config"]["core"]["auth_manager"].endswith("fab_auth_manager.FabAuthManager")
    (bundle,) = values["dagProcessor"]["dagBundleConfigList"]
    assert bundle["classpath"] == "airflow.providers.git.bundles.git.GitDagBundle"
    assert not {"password", "token", "access_token"} & set(bundle["kwargs"]), "bundle arguments are shown in the pages"
    pins = (ROOT / "constraints.txt").read_text("utf-8")
    assert re.search(r"^apache-airflow-providers-fab==", pins, re.MULTILINE)
    assert re.search(r"^apache-airflow-providers-git==", pins, re.MULTILINE)
    compile(values["apiServer"]["apiServerConfig"], "webserver_config.py", "exec")


def test_no_secret_stands_in_the_values() -> None:
    text = (ROOT / "infra" / "helm" / "values.yaml").read_text("utf-8")
    for line in text.splitlines():
        assert not re.search(r"(?i)^\s*(password|secretkey|token|fernetkey|connection):\s*\S", line), line
    assert "@" not in helm()["data"]["metadataSecretName"]


def test_the_settings_in_the_values_exist() -> None:
    from memorial_tasks.airflow.executor import StudioExecutor
    from memorial_tasks.settings import Settings

    given = {entry["name"]: entry["value"] for entry in helm()["env"]}
    assert given.pop("AIRFLOW__CORE__EXECUTOR") == f"{StudioExecutor.__module__}.{StudioExecutor.__qualname__}"
    for name in given:
        assert name.removeprefix("MEMORIAL_").lower() in Settings.model_fields, name
