"""One module per target: `check(data)` reads bytes and raises where an invariant is broken; `TOKENS` are words of its language."""
