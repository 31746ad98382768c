"""The files of deploy/: what they name exists, and what they must not open stays shut."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from fedvlm_flwr.processes import script

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
# Of https://docs.docker.com/reference/compose-file, those that the file may use.
SERVICE = {"build", "command", "depends_on", "environment", "image", "network_mode", "ports"}
SERVICE |= {"profiles", "read_only", "restart", "tmpfs", "volumes"}


@cache
def options(command: str) -> set[str]:
    """The options that an installed command of Flower's has."""
    done = subprocess.run([script(command), "--help"], capture_output=True, text=True, check=True)
    return set(re.findall(r"--[a-z][a-z-]+", done.stdout))


def commands(unit: Path) -> list[str]:
    text = unit.read_text().replace("\\\n", " ")
    return shlex.split(re.search(r"^ExecStart=(.*)$", text, re.MULTILINE).group(1))


def variables(text: str) -> Iterator[str]:
    return (match.group(1) for match in re.finditer(r"\$\{([A-Z_]+)", text))


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_a_unit_starts_what_there_is(unit) -> None:
    words = commands(unit)
    program = Path(words[0]).name
    assert program in ("flower-superlink", "flower-supernode", "fedvlm")
    used = {word for word in words if word.startswith("--")}
    assert program == "fedvlm" or (used and used <= options(program))
    environment = re.search(r"EnvironmentFile=/etc/fedvlm/(\S+)", unit.read_text()).group(1)
    lines = (DEPLOY / "systemd" / environment).read_text().splitlines()
    known = {line.partition("=")[0] for line in lines if line and not line.startswith("#")}
    assert set(variables(" ".join(words))) <= known
    assert {"NO_PROXY", "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"} <= known


def test_a_supernode_is_not_started_anew_too_early() -> None:
    text = (DEPLOY / "systemd" / "fedvlm-supernode.service").read_text()
    assert int(re.search(r"^RestartSec=(\d+)$", text, re.MULTILINE).group(1)) >= 65
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert compose["services"]["supernode"]["command"][-1].endswith("sleep 65")


def test_the_compose_file() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert {key for key in compose if not key.startswith("x-")} == {"services", "volumes"}
    services = compose["services"]
    for name, service in services.items():
        assert service.keys() <= SERVICE, name
        assert set(service.get("depends_on", ())) <= services.keys()
        shared = service.get("network_mode", "service:superlink").removeprefix("service:")
        assert shared in services
        for volume in service["volumes"]:
            place = volume.split(":")[0]
            assert place in compose["volumes"] or place.startswith((".", "${"))
    flower = {"superlink": services["superlink"]["command"]}
    flower["supernode"] = shlex.split(services["supernode"]["command"][-1].replace(";", " "))
    for name, words in flower.items():
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert used and used <= options(f"flower-{name}")
    published = [name for name, service in services.items() if "ports" in service]
    assert published == ["superlink"] and services["superlink"]["ports"] == ["443:443"]


def test_the_reverse_proxy_opens_the_fleet_api_only() -> None:
    text = re.sub(r"#.*", "", (DEPLOY / "nginx.conf").read_text())
    assert text.count("{") == text.count("}")
    blocks = dict(re.findall(r"location\s+(\S+)\s*\{([^}]*)\}", text))
    assert blocks.keys() == {"/v1/fleet/", "/"}
    assert "proxy_pass" in blocks["/v1/fleet/"] and blocks["/"].strip() == "return 404;"
    assert "proxy_ssl_verify on" in blocks["/v1/fleet/"]
