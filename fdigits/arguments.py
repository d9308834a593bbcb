"""The command lines of `python -m fdigits.*`: what is wrong with one is told in one line."""

import argparse
from typing import NoReturn

from fdigits.config import nearest
from fdigits.errors import UserError

UNKNOWN = "unrecognized arguments: "  # how argparse says it


class Parser(argparse.ArgumentParser):
    """A command's parser.

    Args:
      module: "fdigits.predict", of `python -m`.
      description: what --help says of it.
    """

    def __init__(self, module: str, description: str):
        super().__init__(
            prog=f"python -m {module}",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Raises `UserError`, for an unknown flag with the nearest one."""
        _, unknown, words = message.partition(UNKNOWN)
        hint = nearest(words.partition(" ")[0].partition("=")[0], self._option_string_actions)
        raise UserError(f"{message}{hint if unknown else ''}; --help says what {self.prog} takes")
