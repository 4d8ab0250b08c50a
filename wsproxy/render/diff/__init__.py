"""A diff on the screen, and for programs."""
