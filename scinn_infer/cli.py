"""The command ``scinn-infer``, and what it shares with ``scinn-train``: how errors and interruptions are told."""

from __future__ import annotations

import io
import os
import shlex
import signal
import sys
import threading
import traceback
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from scinn_infer import __version__
from scinn_infer.commands.apply import apply
from scinn_infer.commands.check import check
from scinn_infer.commands.completion import answer_shell, completion_command
from scinn_infer.commands.console import COMMAND, explain, printable
from scinn_infer.commands.group import CommandGroup
from scinn_infer.commands.inspect import inspect
from scinn_infer.commands.models import models
from scinn_infer.errors import ScinnWarning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EXIT_REFUSED = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

STDOUT, STDERR = 1, 2

RESEND_AFTER = 0.05
"""Seconds until an interruption that was dropped is sent again."""

DEBUG_HINT = "Set SCINN_DEBUG=1 to see where an error comes from."

EXIT_CODES = f"""\b
Exit codes: 0 done; 1 usable with warnings (only 'check'); 130 interrupted;
2 refused or bad usage, nothing written; 141 nobody reads the output any more.
{DEBUG_HINT}
"""

NO_COMMAND: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())  # click has it from 8.2 on, and exits before


@click.group(cls=CommandGroup, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def group() -> None:
    """Apply a scINN model, one .onnx file, to new single-cell data.

    \b
    Example:

    \b
        scinn-infer check tissue.onnx new.h5ad
        scinn-infer apply tissue.onnx new.h5ad -o imputed.h5ad
        scinn-infer apply human-pancreas new.h5ad -o imputed.h5ad
    """  # noqa: D301 - \b keeps click from filling the lines


group.add_command(apply)
group.add_command(inspect)
group.add_command(check)
group.add_command(models)
group.add_command(completion_command("scinn-infer"))


def main() -> int:
    """Run ``scinn-infer`` on the process's arguments; return the exit code."""
    return main_for(group, "scinn-infer", memory_hint="A smaller --batch-size of 'apply' needs less.")


def main_for(
    group: click.Group,
    name: str,
    arguments: Sequence[str] | None = None,
    *,
    memory_hint: str = "",
    extra: str = "anndata",
) -> int:
    """Run a command-line group; tell what goes wrong in one sentence on stderr; return the exit code.

    Parameters
    ----------
    group
        The click group. What a command returns is the exit code, None being 0.
    name
        How the program calls itself.
    arguments
        Its arguments; those of the process if not given. None at all asks for the help, as a group without a command.
    memory_hint
        A sentence on what to do where there is not enough memory.
    extra
        The extra of the distribution that brings the packages that its commands need.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal of few letters shows what it can
    try:
        with (
            _interruptible(),
            _warnings_told(name),
        ):
            code = answer_shell(group, name)
            if code is None:
                with group.make_context(name, list(arguments) or ["--help"]) as context:
                    context.meta[COMMAND] = shlex.join([name, *arguments])
                    code = group.invoke(context)
        sys.stdout.flush()
        return int(code or 0)
    except click.exceptions.Exit as request:
        return request.exit_code
    except NO_COMMAND as request:
        click.echo(request.format_message())
        return 0
    except BrokenPipeError:
        _forget_stdout()
        return EXIT_BROKEN_PIPE
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("SCINN_DEBUG") == "1":
            traceback.print_exc()
        sentence, code = _answer(error, name, memory_hint, extra)
    # Told only now: with the error its traceback is gone, and the progress bar that it kept on the screen.
    with suppress(OSError):  # where nothing can be said any more, the code still tells
        click.echo(f"{name}: error: {printable(sentence)}", err=True)
    return code


def _open_closed_streams() -> None:
    """Let what is said go nowhere where a stream was closed, and no file of ours get the stream's number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(descriptor)
    for stream, number in {"stdout": STDOUT, "stderr": STDERR}.items():
        if getattr(sys, stream) is None:
            setattr(sys, stream, os.fdopen(number, "w", encoding="utf-8", closefd=False))


def _answer(error: BaseException, name: str, memory_hint: str, extra: str) -> tuple[str, int]:
    """Return the sentence and the exit code for what ended a command."""
    match error:
        case KeyboardInterrupt() | click.Abort():
            return "interrupted. No unfinished file was left under an output's name.", EXIT_INTERRUPTED
        case click.UsageError():
            where = error.ctx.command_path if error.ctx else name
            return f"{error.format_message()} See: {where} --help", EXIT_REFUSED
        case click.ClickException():
            return error.format_message(), EXIT_REFUSED
        case MemoryError():
            return f"{explain(error)} {memory_hint}".strip(), EXIT_REFUSED
    return explain(error, extra=extra), EXIT_REFUSED


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let a polite kill, as batch systems send it, clean up as Ctrl-C does, and let neither of them get lost.

    Python drops an exception that is raised in a destructor or a callback, of which h5py has many. An interruption that
    was dropped there is sent again a moment later.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def again(dropped: sys.UnraisableHookArgs) -> None:
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            threading.Timer(RESEND_AFTER, signal.raise_signal, [signal.SIGINT]).start()
        else:
            hook(dropped)

    hook, sys.unraisablehook = sys.unraisablehook, again
    handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
        sys.unraisablehook = hook


@contextmanager
def _warnings_told(name: str) -> Iterator[None]:
    """Tell our own warnings in one sentence each; those of the libraries below say nothing to a user."""

    def tell(message: Warning | str, *_: object, **__: object) -> None:
        click.echo(f"{name}: warning: {printable(str(message))}", err=True)

    with warnings.catch_warnings():
        if os.environ.get("SCINN_DEBUG") != "1":
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", ScinnWarning)
            warnings.showwarning = tell
        yield


def _forget_stdout() -> None:
    """Whoever read stdout has gone: let the interpreter's last flush go nowhere."""
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - a descriptor is what is wanted
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
