"""SIGINT and SIGTERM: moments at which they must not interrupt."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held() -> Iterator[None]:
    """Have SIGINT and SIGTERM that arrive within the block take effect at its end.

    For a few lines that must be done together, such as renaming files. Python runs the handlers of
    signals in the main thread only: in others there is nothing to hold.
    """
    with _held(signal.SIGINT), _held(signal.SIGTERM):
        yield


@contextmanager
def _held(number: int) -> Iterator[None]:
    before = signal.getsignal(number)
    here = threading.current_thread() is threading.main_thread()
    if before is None or not here:  # set by C code, which could not be given its handler back
        yield
        return
    arrived = []
    try:
        signal.signal(number, lambda *arguments: arrived.append(arguments))
        yield
    finally:
        signal.signal(number, before)
        if arrived:
            signal.raise_signal(number)
