"""Strings inside JSON text, replaced in place: what is not replaced keeps its spelling, byte for byte.

Strategy: a tolerant scan, token by token, that knows at which keys it stands. Text that breaks off, several documents in a row and plain
nonsense all have a reading; nothing raises. A string that does not end reaches to the end of the text, so the scan is linear.

Cost: about 0.5 µs per token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from .rules import Reach

_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_DEPTH = 512  # keys that are remembered; what is nested deeper stands at the last of them


def rewritten(
    text: str,
    reach: Callable[[list[str]], Reach],
    secret: Callable[[str], str],
    plain: Callable[[str], str],
) -> str:
    """JSON text with its strings replaced.

    Args:
        reach: how much of the value at these keys is a secret.
        secret: what stands in place of a string, or a literal, that is one.
        plain: what stands in place of any other string, or of a key.
    """
    out: list[str] = []
    done = 0  # what stands in `out`, of `text`
    keys: list[str] = []
    objects: list[
        tuple[bool, bool]
    ] = []  # for each open bracket: whether it is an object's, whether its key is in `keys`
    reaches = [Reach.NOTHING]  # for each open bracket, and outside
    wants_key = False
    here = Reach.NOTHING  # of the next value
    for match in _TOKEN.finditer(text):
        token = match[0]
        first = token[0]
        if first == '"':
            value = _decoded(token)
            if wants_key:
                wants_key = False
                if objects and objects[-1][1]:
                    keys.pop()
                keep = len(keys) < _DEPTH
                if keep:
                    keys.append(value)
                objects[-1] = (True, keep)
                here = max(reaches[-1], reach(keys))
                new = plain(value)
            else:
                new = secret(value) if here is not Reach.NOTHING else plain(value)
        elif first in "{[":
            objects.append((first == "{", False))
            reaches.append(here)
            wants_key = first == "{"
            continue
        elif first in "}]":
            if objects:
                if objects.pop()[1]:
                    keys.pop()
                reaches.pop()
            wants_key, here = False, reaches[-1]
            continue
        elif first == ",":
            wants_key = bool(objects) and objects[-1][0]
            here = reaches[-1]
            continue
        elif here is Reach.ALL and first != ":" and token not in ("null", "true", "false"):
            value, new = token, secret(token)
        else:
            continue
        if new != value:
            out += (text[done : match.start()], _quoted(new))
            done = match.end()
    return "".join(out) + text[done:] if out else text


def _quoted(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate has an escape in JSON, and no form in UTF-8
        return json.dumps(value)
    return json.dumps(value, ensure_ascii=False)


def _decoded(token: str) -> str:
    if "\\" in token:
        try:
            value: str = json.loads(token, strict=False)
            return value
        except ValueError:
            pass  # it does not end, or holds an escape that is none
    return token[1:-1] if len(token) > 1 and token[-1] == '"' else token[1:]
