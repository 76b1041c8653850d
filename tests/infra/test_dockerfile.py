"""The image: pinned, without root, torch or secrets, and with a health check."""

import re
import tomllib
from pathlib import Path

from gateway.settings import known_paths, load_settings, variable_name

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
INSTRUCTIONS = [
    line for line in TEXT.replace("\\\n", " ").splitlines() if line and not line.startswith("#")
]


def of(word: str) -> list[str]:
    found = (line.partition(" ") for line in INSTRUCTIONS)
    return [rest.strip() for first, _, rest in found if first == word]


def environment() -> dict[str, str]:
    pairs = [pair for line in of("ENV") for pair in line.split()]
    return dict(pair.split("=", 1) for pair in pairs)


def test_both_stages_start_from_one_slim_python_pinned_to_a_patch_release() -> None:
    images = {line.split()[0] for line in of("FROM")}
    (image,) = images
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", image)
    assert len(of("FROM")) == 2


def test_the_python_is_one_that_the_package_supports() -> None:
    version = re.search(r"python:(3\.\d+)", TEXT)
    assert version is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"Programming Language :: Python :: {version[1]}" in project["classifiers"]


def test_it_runs_as_a_numbered_user_without_rights_and_owns_its_data_folder() -> None:
    (user,) = of("USER")
    number = int(user.split(":")[0])
    assert number >= 10_000
    assert f"-o {number}" in TEXT
    assert of("VOLUME") == [environment()["GATEWAY_DATA_DIR"]]


def test_it_installs_by_the_constraints_and_brings_no_torch() -> None:
    (install,) = [line for line in of("RUN") if "pip install" in line]
    assert "-c constraints.txt" in install
    assert of("ARG") == ['EXTRAS=""']
    assert not re.search(r"torch|\blocal\b|sentence", "\n".join(INSTRUCTIONS))


def test_it_copies_only_what_the_ignore_file_lets_through() -> None:
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in allowed
    copied = {
        name for line in of("COPY") if not line.startswith("--from") for name in line.split()[:-1]
    }
    assert copied == {line[1:] for line in allowed if line.startswith("!")}
    assert all((ROOT / name).exists() for name in copied)


def test_it_listens_on_the_exposed_port_and_refuses_to_do_so_without_keys() -> None:
    settings = load_settings(
        environ={key: value for key, value in environment().items() if key.startswith("GATEWAY_")}
    )
    assert of("EXPOSE") == [str(settings.server.port)]
    assert settings.server.host == "0.0.0.0"
    assert not settings.server.api_keys
    assert not settings.server.allow_open


def test_its_variables_are_settings() -> None:
    named = {key for key in environment() if key.startswith("GATEWAY_")}
    assert named <= {variable_name(path) for path in known_paths()}


def test_its_health_check_asks_the_gateway_itself() -> None:
    (check,) = of("HEALTHCHECK")
    assert "/livez" in check
    assert environment()["GATEWAY_SERVER__PORT"] in check


def test_it_starts_the_server() -> None:
    assert of("ENTRYPOINT") == ['["gateway"]']
    assert of("CMD") == ['["serve"]']
