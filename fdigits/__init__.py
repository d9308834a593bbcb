"""Digits that are written and spoken: recognising, relating and generating them."""

import sys

from fdigits.errors import stop_while_importing

if sys.argv[:1] == ["-m"]:  # `python -m fdigits.…` is about to import that module
    stop_while_importing()


def __getattr__(name: str):
    """`Recogniser`, imported only where it is used: JAX takes a second."""
    if name != "Recogniser":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from fdigits.recogniser import Recogniser

    return Recogniser
