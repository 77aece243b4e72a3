"""Locks on open files, which end with their process however it ends."""


class NoLocksError(OSError):
    """The drive, of a network perhaps, has no locks."""


def hold(file: int) -> bool:
    """Lock an open file until it is closed; False if somebody else has it.

    The lock belongs to the file and not to its name, keeps nobody from reading or writing it who
    does not ask for it, and ends with the process, killed or not: there are no stale ones. Windows
    has none of this kind, and everybody gets it there. Workers of joblib and Dask are programs of
    their own, which inherit no open file; a child of a bare fork would keep the lock.

    Parameters
    ----------
    file : int
        Its descriptor.

    Raises
    ------
    NoLocksError
        The drive has none.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # ENOLCK, ENOSYS, EOPNOTSUPP, ...
        raise NoLocksError(error.errno, error.strerror) from error
    return True
