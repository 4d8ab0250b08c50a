"""`python -m wsproxy` is the command `wsproxy`."""

from .cli import main

main()
