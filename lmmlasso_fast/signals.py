"""SIGINT and SIGTERM: what they raise, and moments at which they must not interrupt."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

#: Not empty once signals are ignored in the block of `answering`.
_over: list[bool] = []


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived."""


@contextmanager
def answering(*, for_good: bool = False) -> Iterator[Callable[[], None]]:
    """Have SIGINT raise KeyboardInterrupt and SIGTERM `Terminated`, until that is called off.

    Yields a function of no arguments: once it is called, both are ignored to the end of the block.
    SIGINT is left to whoever set another handler than Python's, and SIGTERM ignored where it is.
    Signals belong to the main thread; in others the block does nothing.

    Parameters
    ----------
    for_good : bool
        The process ends with the block: there is no moment at which the signals would end it by
        themselves, with another exit code. Else the handlers that were there before are back at the
        end of the block.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    # a function of C, before which no signal is looked for
    no_more = partial(_over.append, True)
    before = {signal.SIGTERM: signal.getsignal(signal.SIGTERM)}
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, _answer):
        before[signal.SIGINT] = signal.getsignal(signal.SIGINT)
    # None: set by C code, which could not be given its handler back
    if before[signal.SIGTERM] in (None, signal.SIG_IGN):
        del before[signal.SIGTERM]
    try:
        for number in before:
            signal.signal(number, _answer)
        yield no_more
    finally:
        if for_good:
            no_more()
        for number, earlier in before.items():
            signal.signal(number, signal.SIG_IGN if for_good else earlier)
        if not for_good:
            _over.clear()


def _answer(number: int, _frame) -> None:
    if not _over:
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


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
