"""The README's way into a stack without compose: its blocks are taken from there, checked by the tools there are, and run."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..relay.raw import RawServer
from .readme import DEADLINE, ROOT, block, on_loopback, relay

UNIT = "/etc/systemd/system/wsproxy.service"
DROP_IN = "/etc/systemd/system/litellm.service.d/wsproxy.conf"


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on just now."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in held]
    for sock in held:
        sock.close()
    return ports


def service(text: str) -> dict[str, str]:
    """The lines KEY=VALUE of a unit."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def test_the_units_pass_systemd_analyze(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    true = shutil.which("true")
    unit = block("ini", f"# {UNIT}").replace("/opt/wsproxy/bin/wsproxy", str(true)).replace("/usr/bin/curl", str(true))
    (tmp_path / "wsproxy.service").write_text(unit)
    drop_in = tmp_path / "litellm.service.d" / "wsproxy.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(block("ini", f"# {DROP_IN}"))
    (tmp_path / "litellm.service").write_text(f"[Service]\nExecStart={true}\n")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "wsproxy.service"), str(tmp_path / "litellm.service")],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "wsproxy" in line or "litellm" in line]
    assert (done.returncode, ours) == (0, [])


def test_the_unit_starts_a_relay_that_is_up_when_its_last_command_ends(tmp_path: Path) -> None:
    said = service(block("ini", f"# {UNIT}"))
    upstream = RawServer()
    out = tmp_path / "recordings"
    replaced = {"127.0.0.1:8081": f"127.0.0.1:{upstream.port}", "/var/lib/wsproxy/recordings": str(out)}
    program, *words = on_loopback(shlex.split(said["ExecStart"]), replaced)
    assert program == "/opt/wsproxy/bin/wsproxy"
    with relay([*words, "--listen=127.0.0.1:0", "--control=127.0.0.1:0"], {}) as (_, control_port):
        check = on_loopback(shlex.split(said["ExecStartPost"]), {"127.0.0.1:9091": f"127.0.0.1:{control_port}"})
        if shutil.which("curl") is None:
            pytest.skip("curl is not installed")
        check[0] = str(shutil.which("curl"))
        assert subprocess.run(check, timeout=DEADLINE, check=False).returncode == 0
    upstream.close()


def test_the_plain_processes_start_in_order(tmp_path: Path) -> None:
    """The block as it stands in a shell; in LiteLLM's place a program that asks the relay."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    upstream, control = RawServer(), free_ports(2)
    text = block("sh", "# wsproxy and LiteLLM")
    for old, new in zip((8081, 9090, 9091), (upstream.port, *control), strict=True):
        text = text.replace(f"127.0.0.1:{old}", f"127.0.0.1:{new}")
    programs = tmp_path / "bin"
    programs.mkdir()
    script(programs / "wsproxy", f'PYTHONPATH={ROOT} exec {sys.executable} -m wsproxy "$@"')
    asks = "wsproxy doctor --control ${WSPROXY_MARKERS#http://} --json; echo status $?; kill -TERM $PPID"
    script(programs / "litellm", f"{asks}")
    done = subprocess.run(
        ["bash", "-c", f"trap 'kill %1; wait %1; exit 7' TERM\n{text}"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "WSPROXY_TOKEN": ""},
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE,
        check=False,
    )
    upstream.close()
    assert done.returncode == 7, done
    found = {
        check: f'"check": "{check}", "state": "fine"' for check in ("relay", "upstream", "litellm", "hooks", "marker")
    }
    assert [check for check, words in found.items() if words not in done.stdout] == [], done


def test_the_sidecar_is_a_pod_whose_relay_comes_first(tmp_path: Path) -> None:
    pod: dict[str, Any] = yaml.safe_load(block("yaml", "# litellm with wsproxy"))
    assert (pod["apiVersion"], pod["kind"]) == ("v1", "Pod")
    (ours,), (litellm,) = pod["spec"]["initContainers"], pod["spec"]["containers"]
    assert ours["restartPolicy"] == "Always"
    environment = {one["name"]: one["value"] for one in litellm["env"]}
    assert environment == {"CONTROL_PLANE_URL": "http://127.0.0.1:9090", "WSPROXY_MARKERS": "http://127.0.0.1:9091"}
    assert {mount["name"] for mount in ours["volumeMounts"]} == {volume["name"] for volume in pod["spec"]["volumes"]}
    upstream = RawServer()
    replaced = {"control-plane:8081": f"127.0.0.1:{upstream.port}", "/data": str(tmp_path)}
    words = [*on_loopback(ours["args"], replaced), "--listen=127.0.0.1:0", "--control=127.0.0.1:0"]
    with relay(words, {}) as (_, control_port):
        probe = on_loopback(ours["startupProbe"]["exec"]["command"], {"127.0.0.1:9091": f"127.0.0.1:{control_port}"})
        assert probe[0] == "python"
        assert subprocess.run([sys.executable, *probe[1:]], timeout=DEADLINE, check=False).returncode == 0
        assert (tmp_path / "recordings").stat().st_mode & 0o777 == 0o700
    upstream.close()


def test_the_ports_of_unit_and_sidecar_are_the_defaults(tmp_path: Path) -> None:
    help_text = subprocess.run(
        [sys.executable, "-m", "wsproxy", "record", "--help"],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    ).stdout
    assert "127.0.0.1:9090" in help_text and "127.0.0.1:9091" in help_text
