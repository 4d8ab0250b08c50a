"""Faults between the parts: upstreams that restart, flap, or say nothing; networks that are slow, lossy, or gone."""
