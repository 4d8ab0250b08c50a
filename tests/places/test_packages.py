"""The wheel and the sdist: whole, and installed as people install them, into every Python that is here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import wsproxy
from tests.relay.raw import RawServer
from tests.strict import LENIENT
from wsproxy.relay import quick

from .place import ROOT, Place, assert_works

SAMPLES = ROOT / "recordings" / "samples"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
NOT_SHIPPED = (".git", "__pycache__", "*.egg-info", ".venv", ".*_cache", ".hypothesis", "build", "dist")


def run(*words: str | Path, **environment: str) -> str:
    """A command that must succeed; its output."""
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        cwd=ROOT.root,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | LENIENT | environment,
    )
    assert done.returncode == 0, f"{words}: {done.stdout[-1000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel for every machine that was built from it."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*NOT_SHIPPED))
    run(sys.executable, "-m", "build", "--outdir", folder, source, WSPROXY_PUREPYTHON="1")
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (wheel,) = built.glob("*-py3-none-any.whl")
    return wheel


@pytest.fixture(scope="module")
def native_wheel(built: Path) -> Path:
    """The wheel with the hot path in C, for this machine, as pip makes it of the sdist."""
    if not quick.NATIVE:
        pytest.skip("there was no C compiler")
    (sdist,) = built.glob("*.tar.gz")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", built / "native", sdist)
    (wheel,) = (built / "native").glob("*.whl")
    return wheel


def test_the_wheel_holds_the_package_its_types_and_its_licence_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
    assert {name for name in names if name.startswith("wsproxy/")} == modules()
    assert {name.split("/")[0] for name in names} == {"wsproxy", f"wsproxy-{wsproxy.__version__}.dist-info"}
    assert any(name.endswith("/LICENSE") for name in names)
    assert f"\nVersion: {wsproxy.__version__}\n" in metadata
    assert "Record what" not in metadata.split("\n\n")[0] and "# wsproxy" in metadata


def modules() -> set[str]:
    """What is installed, without the library."""
    package = ROOT / "wsproxy"
    sources = {str(path.relative_to(ROOT)) for path in (*package.rglob("*.py"), *package.rglob("*.pyi"))}
    return sources - {"wsproxy/relay/native_build.py"} | {"wsproxy/py.typed"}


def test_with_a_compiler_the_wheel_holds_the_library_too_and_uses_it(
    upstream: RawServer, tmp_path: Path, native_wheel: Path
) -> None:
    library = f"wsproxy/relay/native{sysconfig.get_config_var('EXT_SUFFIX')}"
    with zipfile.ZipFile(native_wheel) as archive:
        assert {name for name in archive.namelist() if name.startswith("wsproxy/")} == modules() | {library}
    assert not native_wheel.name.endswith("-any.whl")
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    run(tmp_path / "venv" / "bin" / "python", "-m", "pip", "install", "-q", native_wheel)
    code = "from wsproxy.relay import quick; print(quick.NATIVE, quick.REMARK)"
    assert run(tmp_path / "venv" / "bin" / "python", "-I", "-c", code) == "True None\n"
    assert_installed(tmp_path / "venv" / "bin" / "wsproxy", upstream, tmp_path)


def test_without_a_compiler_it_is_installed_all_the_same(upstream: RawServer, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*NOT_SHIPPED))
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "-e", source, CC="/bin/false")
    code = "from wsproxy.relay import quick; print(quick.NATIVE, quick.REMARK)"
    assert run(python, "-I", "-c", code) == "False None\n"
    assert_installed(tmp_path / "venv" / "bin" / "wsproxy", upstream, tmp_path)


def test_the_sdist_holds_what_a_packager_needs(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", "recordings/FORMAT.md"} <= names
    assert "wsproxy/relay/native.c" in names
    assert not [name for name in names if name.endswith(".so")]
    for folder in ("wsproxy", "tests"):
        assert {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*.py")} <= names
    assert {f"recordings/samples/{path.name}" for path in SAMPLES.iterdir()} <= names
    assert not [name for name in names if name.startswith("recordings/2")], "recordings of our own"


def interpreter(version: str) -> str:
    """A Python of this version: this one, on the path, or one of pyenv's."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for path in sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"), reverse=True):
        return str(path)
    found = shutil.which(f"python{version}")
    if found is None or subprocess.run([found, "-c", ""], capture_output=True).returncode:
        pytest.skip(f"no Python {version} here")
    return found


@pytest.mark.parametrize("version", PYTHONS)
def test_the_wheel_alone_works_in_a_fresh_environment(
    upstream: RawServer, tmp_path: Path, wheel: Path, version: str
) -> None:
    run(interpreter(version), "-m", "venv", tmp_path / "venv")
    run(tmp_path / "venv" / "bin" / "python", "-m", "pip", "install", "-q", wheel)
    assert_installed(tmp_path / "venv" / "bin" / "wsproxy", upstream, tmp_path)
    module = (str(tmp_path / "venv" / "bin" / "python"), "-m", "wsproxy")
    assert_works(Place(module, {}, tmp_path), upstream, tmp_path / "by-module")


def assert_installed(program: Path, upstream: RawServer, folder: Path) -> None:
    """The command is there, is of this version, shows a sample, and records."""
    place = Place((str(program),), {}, folder)
    assert place.run("--version").stdout == f"wsproxy {wsproxy.__version__}\n"
    assert place.run("demo", "--help").stdout.startswith("Usage: wsproxy demo")
    shown = place.run("show", SAMPLES / "blocked-lost.msgpack")
    assert (shown.returncode, shown.stderr) == (0, "") and "CHUNK" in shown.stdout
    assert_works(place, upstream, folder / "out")


@pytest.fixture(scope="module")
def installers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has pipx and uv."""
    folder = tmp_path_factory.mktemp("installers")
    run(sys.executable, "-m", "venv", folder / "venv")
    run(folder / "venv" / "bin" / "python", "-m", "pip", "install", "-q", "pipx", "uv")
    return folder / "venv" / "bin"


def test_pipx_installs_it(upstream: RawServer, tmp_path: Path, wheel: Path, installers: Path) -> None:
    places = {"PIPX_HOME": str(tmp_path / "pipx"), "PIPX_BIN_DIR": str(tmp_path / "bin")}
    run(installers / "pipx", "install", "--python", sys.executable, wheel, PIPX_MAN_DIR=str(tmp_path / "man"), **places)
    assert_installed(tmp_path / "bin" / "wsproxy", upstream, tmp_path)


def test_uv_tool_installs_it(upstream: RawServer, tmp_path: Path, wheel: Path, installers: Path) -> None:
    places = {"UV_TOOL_DIR": str(tmp_path / "uv"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    run(installers / "uv", "tool", "install", "--python", sys.executable, wheel, UV_PYTHON_DOWNLOADS="never", **places)
    assert_installed(tmp_path / "bin" / "wsproxy", upstream, tmp_path)
