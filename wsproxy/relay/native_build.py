"""Builds `native.c` while wsproxy is installed, if there is a C compiler; a hook of hatchling's, and no part of what is installed.

Without a compiler, or the headers of Python, wsproxy is a pure Python package that does the same. With WSPROXY_PUREPYTHON set it is one by choice:
so a wheel for every machine is built. An editable installation gets the library beside its source, where `quick` notices if that has changed since.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_MODULE = "wsproxy.relay.native"
_LIBRARY = "wsproxy/relay/native" + (sysconfig.get_config_var("EXT_SUFFIX") or ".so")


class NativeBuild(BuildHookInterface[Any]):
    """Adds the library to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """As hatchling's interface says; `version` is "standard" or "editable"."""
        in_tree = Path(self.root) / _LIBRARY
        if version == "editable":
            in_tree.unlink(missing_ok=True)
        if os.environ.get("WSPROXY_PUREPYTHON"):
            return
        self._folder = tempfile.mkdtemp()
        try:
            built = _built(Path(self.root) / "wsproxy" / "relay" / "native.c", self._folder)
        except Exception as error:  # whatever stands in the way: it is not needed
            self.app.display_warning(f"the hot path stays in Python, the C code could not be built: {error}")
            return
        if version == "editable":
            shutil.copy(built, in_tree)
        else:
            build_data["force_include"][str(built)] = _LIBRARY
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """As hatchling's interface says."""
        shutil.rmtree(getattr(self, "_folder", ""), ignore_errors=True)


def _built(source: Path, folder: str) -> Path:
    """The library, made in `folder`."""
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    extension = Extension(_MODULE, [str(source)], define_macros=[("SOURCE", f'"{digest}"')])
    command = build_ext(Distribution({"name": "wsproxy", "ext_modules": [extension]}))
    command.build_lib = command.build_temp = folder
    command.ensure_finalized()
    command.run()
    return Path(command.get_ext_fullpath(_MODULE))
