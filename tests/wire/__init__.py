"""Tests of the wire room: bytes in, events out."""
