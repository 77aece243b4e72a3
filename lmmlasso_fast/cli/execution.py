"""A command from its beginning to its end: errors and signals become exit codes and a record."""

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress

import click

from lmmlasso_fast.cli.exit_codes import (
    EXIT_INPUT,
    EXIT_INTERNAL,
    EXIT_INTERRUPTED,
    EXIT_NOT_CONVERGED,
    EXIT_OK,
    EXIT_OUTPUT,
    EXIT_TERMINATED,
    stopped_by,
)
from lmmlasso_fast.cli.options import in_flags
from lmmlasso_fast.cli.recording import Run, require_other_inputs, visible
from lmmlasso_fast.errors import InputError, OutputError
from lmmlasso_fast.mapped import catching_bus_errors
from lmmlasso_fast.signals import answering
from lmmlasso_fast.threads import free_address_space

_DONE, _STOPPED = (EXIT_OK, EXIT_NOT_CONVERGED), (EXIT_INTERRUPTED, EXIT_TERMINATED)
_THERE = "the result files are there"
_MORE_MEMORY = "allow more, or give fewer --threads, samples or SNPs"
#: Bytes of address space that Polars, which reads the tables, takes once it is loaded, before that,
#: and for each of its threads. With less it was seen to end the process, to wait for threads that
#: never start, or to print one line for ever.
_POLARS_WORKS, _POLARS_LOADS, _POLARS_THREAD = 1 << 29, 1 << 30, 1 << 27


def execute(
    command: str,
    options: dict,
    body: Callable[[Run], None],
    then: Callable[[], None] | None = None,
    named: Callable[[], Iterable[dict]] = tuple,
) -> None:
    """Run a command's body; leave the process with the documented exit code.

    The result files come first; then the inputs are hashed, and P.run.json says how it ended.
    `then` is for what needs P.run.json, and is called where there are results; `named` for options
    that files name, which may be inputs. A signal is answered while there is something left to do:
    what has been recorded at last is how the process ends.
    """
    context = click.get_current_context()
    run = usage = None
    message = kept = ""
    for_good = (context.obj or {}).get("owns_process", False)
    with ExitStack() as at_the_end, answering(for_good=for_good) as no_more:
        try:
            with catching_bus_errors(), warnings.catch_warnings():
                for given in (options, *named()):
                    require_other_inputs(options["out"], given)
                run = Run(command, options["out"], options.get("threads"))
                at_the_end.callback(run.release)
                warnings.simplefilter("always")
                warnings.showwarning = lambda message, *_, **__: run.warn(str(message))
                _require_room()
                body(run)
                run.write_outputs()
                code = run.exit_code
        except click.ClickException as error:
            code, usage = 2, error
        except InputError as error:
            code, message = EXIT_INPUT, str(error)
            if type(error) is InputError:  # of an option; its subclasses are about files and data
                message = in_flags(message, context.command)
        except OutputError as error:
            code, message = EXIT_OUTPUT, str(error)
        except KeyboardInterrupt as error:
            no_more()
            code, message = stopped_by(error)
            if run is not None and run.checkpoint is not None:
                kept = f"; {run.checkpoint} is kept, and the same command with --resume goes on "
                kept += "from it"
        except BaseException as error:  # Rust's panics are no Exception
            if isinstance(error, SystemExit | GeneratorExit):
                raise
            code = EXIT_INTERNAL
            if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
                what = f": {error}" if str(error) else ""
                message = f"out of memory{what}; {_MORE_MEMORY}"
            else:
                message = f"internal error: {error!r}\n{traceback.format_exc()}"
        left = then if code in _DONE else None
        try:
            if run is not None and code not in _STOPPED:
                with suppress(MemoryError):
                    run.fingerprints()
            if left is None:
                no_more()
            code = _record(run, options, code, message, kept, usage)
            if left is not None:
                left()
                no_more()
        except (InputError, OutputError) as error:  # of what was left
            no_more()
            code = _record(run, options, EXIT_OUTPUT, str(error))
        except KeyboardInterrupt as error:
            no_more()
            if code in _DONE:
                code, message = stopped_by(error)
                kept = f"; {_THERE}" if left is None else f"; {_THERE}, the report is not"
            code = _record(run, options, code, message, kept, usage)
        if usage is not None:
            raise usage
    sys.exit(code)


def _require_room() -> None:
    """Refuse to begin where the limit on the address space is none that Polars works within."""
    free, least = free_address_space(), _POLARS_WORKS
    if "polars" not in sys.modules:
        n_threads = os.environ.get("POLARS_MAX_THREADS", "")
        n_threads = int(n_threads) if n_threads.isdecimal() else os.cpu_count() or 1
        least = _POLARS_LOADS + n_threads * _POLARS_THREAD
    if free is not None and free < least:
        raise MemoryError(
            f"expected {least >> 20} MB of address space to begin with, found "
            f"{max(free, 0) >> 20} MB below the limit (ulimit -v)"
        )


def _record(
    run: Run | None,
    options: dict,
    code: int,
    message: str,
    kept: str = "",
    usage: click.ClickException | None = None,
) -> int:
    """Show the error, if there is one, and write the run's record; return the exit code."""
    if run is None:
        if message:
            click.echo(f"error: {visible(message)}", err=True)
        return code
    if message:
        state = message
        with suppress(OutputError):  # of the log: this is the message about it, or finish raises
            run.say(f"error: {message}{kept}")
    elif usage is not None:
        state = f"usage: {usage.format_message()}"
    else:
        state = "ok" if code == EXIT_OK else "not converged"
    try:
        run.finish(options, code, state)
    except OutputError as error:
        click.echo(f"error: {error}", err=True)
        return code or EXIT_OUTPUT
    except MemoryError:
        click.echo(f"error: {run.out}.run.json: no memory is left to write it", err=True)
        return EXIT_INTERNAL
    return code
