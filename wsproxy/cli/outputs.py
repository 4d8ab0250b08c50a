"""Standard input, output and error as the commands need them, whatever the program was started with.

Strategy: a descriptor that is closed is opened on the null device, for the next socket or recording would get its number, and what is printed would
go there. What an output's encoding does not have is written as an escape (JSON is ASCII already).
"""

from __future__ import annotations

import io
import os
import sys


def make_ready() -> None:
    """Before anything else is opened or printed."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:  # Python found it closed
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def give_up(*numbers: int) -> None:
    """Nobody takes what is still to be written to these descriptors: Python must not try again when it ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    for number in numbers:
        os.dup2(null, number)
    os.close(null)
