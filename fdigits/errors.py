"""What a user can mend: one line that says what is wrong, where, and what to do."""

import _thread
import contextlib
import errno
import functools
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no room, no quota, a file at its limit

STOPPED = "stopped: run the same command again to continue"
MEMORY = "not enough memory: lower batch_size, or what makes the model large (width, filters)"
INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it
AGAIN = 0.05  # seconds after which a Ctrl-C that was lost is sent once more


class UserError(Exception):
    """What is wrong, where, and what to do, in one line."""


class Diverged(UserError):
    """A training's loss is no longer finite; others may go on."""


def full(error: BaseException | None) -> OSError | None:
    """The lack of room that an error, or one that it came of, tells; None if it tells of none.

    Libraries wrap it in errors of their own, of which the text alone says so.
    """
    while error is not None:
        code = error.errno if isinstance(error, OSError) else None
        for known in FULL:
            if code == known or os.strerror(known) in str(error):
                return OSError(known, os.strerror(known), getattr(error, "filename", None))
        error = error.__cause__ or error.__context__
    return None


@contextlib.contextmanager
def writing(path: object) -> Iterator[None]:
    """A full disk met by its body, in whatever kind of error, becomes an `OSError` that names
    `path`, where it does not say where."""
    try:
        yield
    except Exception as error:
        if not (told := full(error)):
            raise
        raise OSError(told.errno, told.strerror, told.filename or str(path)) from None


def exit_cleanly(main: Callable[..., object]) -> Callable[..., object]:
    """Wraps a command's `main`: a `UserError` or a full disk becomes one line on stderr and exit
    status 2, Ctrl-C one line and exit status 130."""

    @functools.wraps(main)
    def wrapped(*args, **kwargs) -> object:
        _hush_threads()
        if signal.getsignal(signal.SIGINT) is _stop:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return main(*args, **kwargs)
        except UserError as error:
            if str(error):  # of several processes the first has told
                print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        except BrokenPipeError:  # whoever read, as `head`, has had enough
            _forget_output()
            sys.exit(1)
        except KeyboardInterrupt:
            print(STOPPED, file=sys.stderr)
            for stream in filter(None, (sys.stdout, sys.stderr)):
                with contextlib.suppress(OSError):
                    stream.flush()
            os._exit(INTERRUPTED)  # Python's own end may crash where JAX is still compiling
        except Exception as error:
            if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
                print(f"error: {MEMORY}", file=sys.stderr)
                sys.exit(2)
            if not (told := full(error)):
                raise
            where = told.filename or "where the output goes"
        if told.filename is None:
            _forget_output()
        print(
            f"error: no room to write: {where} ({told.strerror}); free some and run the same "
            "command again, what was written before is whole",
            file=sys.stderr,
        )
        gc.collect()  # what half-written files hold ends here, not in traces at the very end
        sys.exit(2)

    return wrapped


def stop_while_importing() -> None:
    """Ctrl-C ends the process at once, in one line, until a command's `main` begins.

    A command imports for two seconds, in which an exception would be a trace, or turn into
    another kind of error. Nothing is being written then.
    """
    main = threading.current_thread() is threading.main_thread()
    if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop)


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """`stop_while_importing` for what a `main` itself imports."""
    stop_while_importing()
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is _stop:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _stop(*_) -> None:
    os.write(2, f"{STOPPED}\n".encode())
    os._exit(INTERRUPTED)


def _forget_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _hush_threads() -> None:
    """Threads that write in the background print no trace of a full disk: who waits for them, or
    writes next, meets the error itself. What ends beside them finds their loop closed. Ctrl-C is
    lost in a callback of the garbage collector, as JAX has one, and so is sent again after it."""

    def hushing(hook: Callable) -> Callable:
        def hushed(args) -> None:
            if isinstance(args.exc_value, KeyboardInterrupt):
                threading.Timer(AGAIN, _thread.interrupt_main).start()
            elif not full(args.exc_value) and "Event loop is closed" not in str(args.exc_value):
                hook(args)

        return hushed

    threading.excepthook = hushing(threading.excepthook)
    sys.unraisablehook = hushing(sys.unraisablehook)
