"""docker-compose.override.yml: merged with a stack by the real tool, and its command and health check run as processes.

No engine runs here. What is proved: `docker-compose config` (which validates by its copy of the compose specification's schema) merges it, beside a
stack and by -f; the command with its environment starts a relay; the health check's command passes beside that relay and fails without; the image's
Dockerfile copies what the package needs.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..relay.raw import RawServer
from ..strict import LENIENT
from .readme import DEADLINE, ROOT, on_loopback, relay

OVERRIDE = ROOT / "docker-compose.override.yml"
STACK = """
services:
  litellm-proxy:
    image: litellm:stack
    depends_on: [control-plane]
    environment:
      - CONTROL_PLANE_URL=http://control-plane:8081
      - LITELLM_MASTER_KEY=sk-of-the-stack
    ports: ["4000:4000"]
  control-plane:
    image: control-plane:stack
    environment: {JUDGE_URL: "http://judge:9"}
    expose: ["8081"]
"""


def merged(folder: Path, *options: str, **environment: str) -> dict[str, Any]:
    """What docker-compose makes of the stack and of our file."""
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")
    (folder / "docker-compose.yml").write_text(STACK)
    (folder / "wsproxy").mkdir(exist_ok=True)
    clean = {key: value for key, value in os.environ.items() if key not in ("UID", "GID", "WSPROXY_TOKEN")}
    done = subprocess.run(
        ["docker-compose", *options, "config"],
        cwd=folder,
        env=clean | LENIENT | environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    config: dict[str, Any] = yaml.safe_load(done.stdout)["services"]
    return config


@pytest.fixture(params=["copied beside", "by -f"])
def services(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    if request.param == "by -f":
        return merged(tmp_path, "-f", "docker-compose.yml", "-f", str(OVERRIDE))
    shutil.copy(OVERRIDE, tmp_path)
    return merged(tmp_path)


def test_the_relay_stands_between_and_comes_first(services: dict[str, Any], tmp_path: Path) -> None:
    assert set(services) == {"litellm-proxy", "control-plane", "wsproxy"}
    litellm, plane, ours = services["litellm-proxy"], services["control-plane"], services["wsproxy"]
    assert litellm["environment"]["CONTROL_PLANE_URL"] == "http://wsproxy:9090"
    assert litellm["depends_on"]["wsproxy"]["condition"] == "service_healthy"
    assert "--upstream=ws://control-plane:8081" in ours["command"]
    assert [service["environment"]["WSPROXY_MARKERS"] for service in (litellm, plane)] == ["http://wsproxy:9091"] * 2
    assert all("127.0.0.1" in str(port) for port in ours["ports"])
    (volume,) = ours["volumes"]
    assert (volume["source"], volume["target"]) == (str(tmp_path / "recordings"), "/recordings")
    assert ours["build"]["context"] == str(tmp_path / "wsproxy")


def test_what_the_stack_says_stays(services: dict[str, Any]) -> None:
    litellm, plane = services["litellm-proxy"], services["control-plane"]
    assert litellm["image"] == "litellm:stack"
    assert litellm["environment"]["LITELLM_MASTER_KEY"] == "sk-of-the-stack"
    assert "control-plane" in litellm["depends_on"]
    assert plane["environment"]["JUDGE_URL"] == "http://judge:9"


def test_places_owner_and_token_come_from_the_environment(tmp_path: Path) -> None:
    services = merged(
        tmp_path,
        "-f",
        "docker-compose.yml",
        "-f",
        str(OVERRIDE),
        UID="1234",
        GID="99",
        WSPROXY_TOKEN="a-long-secret",
        WSPROXY_SOURCE=str(ROOT),
        WSPROXY_RECORDINGS="/srv/evidence",
    )
    assert services["wsproxy"]["user"] == "1234:99"
    assert services["wsproxy"]["volumes"][0]["source"] == "/srv/evidence"
    assert services["wsproxy"]["build"]["context"] == str(ROOT)
    assert {service["environment"]["WSPROXY_TOKEN"] for service in services.values()} == {"a-long-secret"}


def test_its_command_starts_a_relay_that_passes_its_own_health_check(tmp_path: Path) -> None:
    ours = yaml.safe_load(OVERRIDE.read_text())["services"]["wsproxy"]
    upstream = RawServer()
    out = tmp_path / "recordings"
    replaced = {
        "control-plane:8081": f"127.0.0.1:{upstream.port}",
        "0.0.0.0:9090": "127.0.0.1:0",
        "0.0.0.0:9091": "127.0.0.1:0",
        "/recordings": str(out),
    }
    kind, *check = ours["healthcheck"]["test"]
    assert kind == "CMD"
    with relay(on_loopback(ours["command"], replaced), {"WSPROXY_TOKEN": ""}) as (_, control_port):
        check = on_loopback(check, {"127.0.0.1:9091": f"127.0.0.1:{control_port}"})
        assert run_check(check) == 0
        assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert run_check(check) != 0
    upstream.close()


def run_check(check: list[str]) -> int:
    """The exit status of a health check whose `python` is ours."""
    assert check[0] == "python"
    return subprocess.run([sys.executable, *check[1:]], capture_output=True, timeout=DEADLINE, check=False).returncode


def test_the_schema_of_the_compose_specification_accepts_it() -> None:
    """The schema of today, where docker-compose brings that of its time."""
    path = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"]))
    program = shutil.which("check-jsonschema", path=path)
    if program is None:
        pytest.skip("check-jsonschema is not installed")
    command = [program, "--builtin-schema", "vendor.compose-spec", str(OVERRIDE)]
    done = subprocess.run(
        command, env=os.environ | LENIENT, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_image_has_what_the_package_needs() -> None:
    lines = (ROOT / ".docker" / "Dockerfile").read_text().splitlines()
    copied = [name for line in lines if line.startswith("COPY") and "--from" not in line for name in line.split()[1:-1]]
    assert sorted(copied) == ["LICENSE", "README.md", "pyproject.toml", "wsproxy"]
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignore and {f"!{name}" for name in copied} <= set(ignore)
    assert lines[-1] == 'ENTRYPOINT ["wsproxy"]'
