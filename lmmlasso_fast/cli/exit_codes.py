"""The exit codes of the command line."""

from lmmlasso_fast.signals import Terminated

EXIT_OK, EXIT_INPUT, EXIT_NOT_CONVERGED, EXIT_OUTPUT = 0, 3, 4, 5
EXIT_INTERNAL, EXIT_INTERRUPTED, EXIT_TERMINATED = 70, 130, 143


def stopped_by(error: KeyboardInterrupt) -> tuple[int, str]:
    """Return the exit code after a signal, and what is said of it."""
    if isinstance(error, Terminated):
        return EXIT_TERMINATED, "terminated"
    return EXIT_INTERRUPTED, "interrupted"
