"""`compose.yaml` and `.env.example`, read as data: what must hold before anyone starts them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import typer.main
import yaml

from gateway.cli.app import app
from gateway.embedding.catalog import find_profile
from gateway.modelserver.server import STOP_SECONDS
from gateway.rerankers.catalogue import DEFAULT_MODEL, require_served_by_tei
from gateway.settings import known_paths, load_settings, variable_name

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose.yaml"
ENV_EXAMPLE = ROOT / "infra" / ".env.example"
SECRETS = ("HF_TOKEN", "QDRANT_API_KEY", "GATEWAY_SERVER__API_KEYS")
VARIABLE = re.compile(r"\$\{(?P<name>[A-Z0-9_]+)(?P<rest>[^}]*)\}")


def compose() -> dict[str, Any]:
    return cast("dict[str, Any]", yaml.safe_load(COMPOSE.read_text(encoding="utf-8")))


def services() -> dict[str, dict[str, Any]]:
    return cast("dict[str, dict[str, Any]]", compose()["services"])


def example() -> dict[str, str]:
    lines = ENV_EXAMPLE.read_text(encoding="utf-8").splitlines()
    return dict(cast("tuple[str, str]", line.split("=", 1)) for line in lines if "=" in line[:40])


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_the_file_is_valid_by_the_compose_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(COMPOSE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_profile_starts_one_server_of_the_model_qdrant_and_the_gateway() -> None:
    members: dict[str, set[str]] = {}
    for name, service in services().items():
        for profile in service["profiles"]:
            members.setdefault(profile, set()).add(name)
    assert members == {
        "cpu": {"tei-cpu", "qdrant", "gateway"},
        "gpu": {"tei-gpu", "qdrant", "gateway"},
        "gpu-bf16": {"model-server-gpu-bf16", "qdrant", "gateway"},
        "rerank": {"reranker-cpu"},
        "rerank-gpu": {"reranker-gpu"},
    }


def test_every_image_is_pinned_to_a_full_version() -> None:
    for name, service in services().items():
        tag = service["image"].rpartition(":")[2].rstrip("}")
        assert re.search(r"\d+\.\d+\.\d+$", tag), f"{name}: {service['image']}"


def test_the_gpu_image_follows_one_variable_with_a_pinned_default() -> None:
    image = services()["tei-gpu"]["image"]
    assert [found["name"] for found in VARIABLE.finditer(image)] == ["TEI_GPU_IMAGE_TAG"]
    assert example()["TEI_GPU_IMAGE_TAG"] in image


@pytest.mark.parametrize("name", ["tei-cpu", "tei-gpu"])
def test_tei_serves_float32_cuts_nothing_and_adds_no_prompt(name: str) -> None:
    service = services()[name]
    command = service["command"]
    assert option(command, "--dtype") == "float32"
    assert option(command, "--auto-truncate") == "false"
    assert not [word for word in command if word.startswith("--default-prompt")]
    assert "1.9.3" in service["image"]
    assert "HF_TOKEN" in service["environment"]


def test_tei_serves_the_revision_that_the_profile_describes() -> None:
    profile = find_profile(services()["gateway"]["environment"]["GATEWAY_PROFILE"])
    for name in ("tei-cpu", "tei-gpu", "model-server-gpu-bf16"):
        command = services()[name]["command"]
        assert option(command, "--model-id" if "tei" in name else "--model") == profile.model_id
        assert option(command, "--revision") == profile.revision


@pytest.mark.parametrize("name", ["reranker-cpu", "reranker-gpu"])
def test_the_reranker_is_the_default_one_pinned_and_found_by_the_gateway(name: str) -> None:
    service = services()[name]
    assert option(service["command"], "--model-id") == require_served_by_tei(DEFAULT_MODEL)
    assert re.fullmatch(r"[0-9a-f]{40}", option(service["command"], "--revision"))
    assert "1.9.3" in service["image"]
    assert service["networks"]["backend"]["aliases"] == ["reranker"]
    assert ("deploy" in service) == (name == "reranker-gpu")
    told = "http://reranker:80"
    assert told in ENV_EXAMPLE.read_text(encoding="utf-8")
    settings = load_settings(environ=gateway_environment() | {"GATEWAY_RERANK__URLS": told})
    assert (settings.rerank_kind, settings.rerank.model) == ("tei", DEFAULT_MODEL)


def test_without_the_variable_nothing_is_reranked() -> None:
    assert example()["RERANK_URLS"] == ""
    assert load_settings(environ=gateway_environment()).rerank_kind == "none"


def gateway_environment() -> dict[str, str]:
    """The gateway's variables: secrets set, and the others as the file has them by default."""
    environment: dict[str, str] = services()["gateway"]["environment"]
    return {
        key: VARIABLE.sub(lambda found: found["rest"].removeprefix(":-"), value)
        if ":?" not in value
        else "secret"
        for key, value in environment.items()
    }


def test_the_bf16_profile_runs_our_model_server_as_tei_on_the_network() -> None:
    service = services()["model-server-gpu-bf16"]
    command = service["command"]
    assert service["build"] == {"context": ".", "args": {"EXTRAS": "local"}}
    assert command[0] == "model-server"
    assert (option(command, "--dtype"), option(command, "--device")) == ("bfloat16", "cuda")
    assert "--no-auto-truncate" in command
    assert service["networks"] == services()["tei-gpu"]["networks"]
    assert services()["gateway"]["environment"]["GATEWAY_TEI__URLS"] == "http://tei:80"
    assert option(command, "--port") == "80"
    assert service["volumes"] == ["hub-cache:" + service["environment"]["HF_HUB_CACHE"]]


def test_the_bf16_command_is_one_that_the_command_line_takes() -> None:
    command: Any = cast("Any", typer.main.get_command(app)).commands["model-server"]
    known = {name for parameter in command.params for name in parameter.opts}
    known |= {name for parameter in command.params for name in parameter.secondary_opts}
    words = services()["model-server-gpu-bf16"]["command"]
    assert {word for word in words if word.startswith("--")} <= known


def test_the_bf16_server_gets_longer_to_stop_than_its_requests_get_to_finish() -> None:
    grace = services()["model-server-gpu-bf16"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) > STOP_SECONDS


def test_the_gpu_profiles_ask_for_an_nvidia_device_and_the_cpu_profile_for_none() -> None:
    for name in ("tei-gpu", "model-server-gpu-bf16", "reranker-gpu"):
        devices = services()[name]["deploy"]["resources"]["reservations"]["devices"]
        assert devices == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
    assert "deploy" not in services()["tei-cpu"]


def test_only_the_gateway_publishes_a_port_and_on_loopback_unless_told() -> None:
    publishing = {
        name: service["ports"] for name, service in services().items() if "ports" in service
    }
    assert publishing == {"gateway": ["${PUBLISH_ADDRESS:-127.0.0.1}:${PUBLISH_PORT:-8080}:8080"]}


def test_qdrant_sits_on_the_internal_network_alone() -> None:
    assert compose()["networks"]["backend"]["internal"] is True
    assert list(services()["qdrant"]["networks"]) == ["backend"]
    for service in services().values():
        assert "backend" in service["networks"]


def test_qdrant_keeps_its_points_in_a_named_volume() -> None:
    (mount,) = services()["qdrant"]["volumes"]
    volume, _, target = mount.partition(":")
    assert volume in compose()["volumes"]
    assert target == "/qdrant/storage"


def test_the_gateway_reads_the_tokenizer_from_tei_s_hub_cache_and_cannot_write_it() -> None:
    (mount,) = services()["gateway"]["volumes"]
    assert mount == "hub-cache:/hub-cache:ro"
    assert services()["gateway"]["environment"]["GATEWAY_TEI__TOKENIZER"] == "/hub-cache"
    assert services()["tei-cpu"]["volumes"] == ["hub-cache:/data"]


def test_every_service_has_a_health_check_and_the_gateway_waits_for_the_others() -> None:
    for name, service in services().items():
        check = service["healthcheck"]
        assert check["test"][0] == "CMD", name
        assert {"interval", "timeout", "retries", "start_period"} <= set(check), name
    waits = services()["gateway"]["depends_on"]
    assert set(waits) == set(services()) - {"gateway"}
    assert all(wait["condition"] == "service_healthy" for wait in waits.values())


def test_secrets_are_required_from_the_environment_and_never_written_down() -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    uses = [found for found in VARIABLE.finditer(text) if found["name"] in SECRETS]
    assert {found["name"] for found in uses} == set(SECRETS)
    assert all(found["rest"].startswith(":?") for found in uses)
    for name, service in services().items():
        for key, value in service["environment"].items():
            if re.search(r"KEY|TOKEN$|SECRET|PASSWORD", key) and value != "/hub-cache":
                assert value.startswith("${"), f"{name}: {key}"


def test_the_example_holds_every_variable_of_the_file_and_no_secret() -> None:
    asked = {found["name"] for found in VARIABLE.finditer(COMPOSE.read_text(encoding="utf-8"))}
    assert set(example()) == asked
    assert {name: example()[name] for name in SECRETS} == dict.fromkeys(SECRETS, "")


def test_every_gateway_variable_is_a_setting() -> None:
    known = {variable_name(path) for path in known_paths()}
    named = {key for key in services()["gateway"]["environment"] if key.startswith("GATEWAY_")}
    named |= {key for key in example() if key.startswith("GATEWAY_")}
    assert named <= known


def test_the_gateway_s_environment_means_tei_qdrant_and_closed_doors() -> None:
    settings = load_settings(environ=gateway_environment())
    assert (settings.encoder_kind, settings.store_kind) == ("tei", "qdrant")
    assert settings.profile_name == "embeddinggemma-300m"
    assert settings.server.api_keys


def test_the_gateway_gets_longer_to_stop_than_its_requests_get_to_finish() -> None:
    grace = services()["gateway"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) > load_settings(environ={}).server.shutdown_seconds


def has_docker_compose() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    return (
        subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode
        == 0
    )


@pytest.mark.skipif(not has_docker_compose(), reason="docker compose is not installed")
@pytest.mark.parametrize("profile", ["cpu", "gpu", "gpu-bf16", "rerank", "rerank-gpu"])
def test_docker_compose_accepts_each_profile(profile: str) -> None:
    command = ["docker", "compose", "-f", str(COMPOSE), "--profile", profile, "config", "--quiet"]
    environment = dict.fromkeys(SECRETS, "x") | {
        "PATH": str(Path(shutil.which("docker") or "").parent)
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
