"""Regular expressions that a person wrote: on a command line, in a configuration, in a selector."""

from __future__ import annotations

import re
import warnings


def compiled(text: str) -> re.Pattern[str]:
    """This regular expression.

    Raises:
        ValueError: it is none; the message holds it, and why.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # "[[" may mean something else one day
            return re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None
