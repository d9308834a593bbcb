"""Mistakes a user can mend: one line that says what is wrong, where, and what to do."""

import functools
import os
import sys
from collections.abc import Callable


class UserError(Exception):
    """What is wrong, where, and what to do, in one line."""


def exit_cleanly(main: Callable[..., object]) -> Callable[..., object]:
    """Wraps a command's `main`: a `UserError` becomes one line on stderr and exit status 2."""

    @functools.wraps(main)
    def wrapped(*args, **kwargs) -> object:
        try:
            return main(*args, **kwargs)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        except BrokenPipeError:  # whoever read, as `head`, has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except KeyboardInterrupt:
            print("stopped: run the same command again to continue", file=sys.stderr)
            sys.exit(130)

    return wrapped
