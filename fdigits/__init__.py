"""Digits that are written and spoken: recognising, relating and generating them."""

import os
import sys

from fdigits.errors import stop_while_importing

# `python -m fdigits.…` is about to import that module, launch.py all that it needs.
if sys.argv and (sys.argv[0] == "-m" or os.path.basename(sys.argv[0]) == "launch.py"):
    stop_while_importing()


def __getattr__(name: str):
    """`Recogniser`, imported only where it is used: JAX takes a second."""
    if name != "Recogniser":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from fdigits.recogniser import Recogniser

    return Recogniser
