"""Tests of the render room: what a terminal shows."""
