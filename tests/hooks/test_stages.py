"""The vocabulary: DESIGN.md's names, and what else may be one."""

from __future__ import annotations

import pytest

from wsproxy import stages

DESIGN = """
callback.invoked callback.backend_chunk callback.yielded callback.completed callback.failed
ws.sent ws.received ws.json_error
endpoint.start endpoint.chunk_in endpoint.policy endpoint.chunk_out endpoint.end endpoint.error
policy.start policy.chunk_in policy.chunk_out policy.end
client.control_in client.normalized client.rejected client.to_client
"""


def test_every_name_of_the_design_is_known() -> None:
    assert set(DESIGN.split()) <= stages.KNOWN


def test_what_is_known_beyond_the_design_is_what_the_hooks_have_to_say_of_themselves() -> None:
    assert stages.KNOWN - set(DESIGN.split()) == {"hooks.dropped", "ws.send_failed"}


@pytest.mark.parametrize("name", [*sorted(stages.KNOWN), "my.own_stage", "a.b.c2", "x." + "y" * 62])
def test_a_dotted_lower_case_name_is_a_stage(name: str) -> None:
    assert stages.is_stage(name)


WRONG = [
    "",
    "policy",
    "Policy.start",
    "policy.",
    ".start",
    "policy..start",
    "policy start",
    "policy.stärt",
    "policy.x\n",
]


@pytest.mark.parametrize("name", [*WRONG, "x." + "y" * 63, None, 3, b"policy.start", ["policy.start"]])
def test_anything_else_is_not(name: object) -> None:
    assert not stages.is_stage(name)
