"""Tests of the recording room: events to a file and back."""
