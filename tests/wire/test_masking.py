"""Masking is the same with and without the C function of `websockets`."""

from __future__ import annotations

import importlib.util
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsproxy.wire import masking


@pytest.fixture(scope="module")
def without_c() -> object:
    """The module as it is loaded where `websockets` was built without its C function."""
    spec = importlib.util.find_spec("wsproxy.wire.masking")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "websockets.speedups", None)
        spec.loader.exec_module(module)
    return module.apply_mask


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_both_functions_mask_alike(without_c: object, payload: bytes, mask: bytes) -> None:
    assert without_c is not masking.apply_mask and callable(without_c)
    assert without_c(payload, mask) == masking.apply_mask(payload, mask)
