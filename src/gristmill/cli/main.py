"""The command ``gristmill``. Each command is a file of its own, imported only when it is called or listed."""

from __future__ import annotations

import gc
import importlib
import os
import sys

import click

from gristmill import __version__
from gristmill.cli.printed import printable_streams
from gristmill.cli.start import stopped_code, unloaded
from gristmill.cli.streams import unfailing_streams, unprinted
from gristmill.spec.command import printable, started_as, to_type
from gristmill.spec.errors import GristmillError, MachineError
from gristmill.storage.silence import tell_silence

__all__ = ["cli", "main"]

_AGAIN = "Nothing finished is lost: put it right, then give the same command again."
_COMMANDS = {
    "list": "Recipes and mixtures: stage, rows, bytes, access, licence.",
    "show": "One recipe or mixture: its card, sources, steps, known traps.",
    "plan": "What a run would fetch, ask for and write, before anything moves.",
    "run": "Prepare a dataset: from annotations to verified shards.",
    "status": "Funnel, progress, failures by reason and host.",
    "duplicates": "The same picture within and across finished datasets.",
    "hashes": "What is known of evaluation sets, to keep them out.",
    "mix": "Shuffle finished datasets into one mixture.",
    "retry": "Ask again for what failed, for these reasons alone.",
    "verify": "Read everything back as a trainer would.",
    "check": "Any file of conversations: each record, its tags, its media.",
    "export": "Write a trainer's own format.",
    "import": "A trainer's own format to shards.",
    "crawl": "Any list of image URLs to shards.",
    "new": "A file to begin a mixture of your own with.",
    "clean": "Remove what is no longer needed.",
    "demo": "The recipes on a made-up upstream on this machine.",
}


class LazyGroup(click.Group):
    """Lists commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of use."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's file."""
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"gristmill.cli.{cmd_name}_command")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One line each."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Say what was meant, if something is close."""
        from gristmill.spec.errors import UnknownName

        if args and not args[0].startswith("-") and args[0] not in _COMMANDS:
            raise UnknownName("command", args[0], tuple(_COMMANDS))
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="gristmill")
def cli() -> None:
    """From published vision-language annotations to verified training shards.

    \b
    Example:
      gristmill plan coyo-700m
      gristmill run coyo-700m --out data --tasks 0:1 --only 1000
      gristmill status data

    Exit codes: 0 done, 1 failed, 2 wrong use, 3 incomplete and resumable, 75 another run holds what is
    needed, 130 or 143 interrupted.
    """


def main() -> None:
    """Entry point: runs a command and turns errors into a sentence and an exit code."""
    # a hundred thousand records are no garbage: looking through them again and again costs more than reading
    gc.set_threshold(200_000, 20, 100)
    # nothing here multiplies matrices, or holds columns for long: no threads and no pool for that
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    started_as(sys.argv[0])
    unfailing_streams()
    tell_silence(lambda said: click.echo(f"gristmill: {printable(said)} ...", err=True))
    with printable_streams():
        code = _exit_code()
    if (err := unprinted()) is not None:
        said = f"gristmill: standard output: {err.strerror}. Only what was to be printed there is lost."
        click.echo(said, err=True)
        code = code or 1
    sys.stderr.flush()
    sys.exit(code)


def _exit_code() -> int:
    """Run the command that was typed, and say in a sentence why it failed, if it did."""
    try:
        cli.main(standalone_mode=False, color=True)  # what stands in texts is spelled out, not left out
    except GristmillError as err:
        return _told(err)
    except click.ClickException as err:
        if type(err).__name__ == "NoArgsIsHelpError":  # of click 8.2 and newer: it is the help
            err.show()
            return err.exit_code
        path = err.ctx.command_path.split()[1:] if isinstance(err, click.UsageError) and err.ctx else []
        said = err.format_message().rstrip(".")
        click.echo(f"gristmill: {printable(said)}. What there is: {to_type(*path, '--help')}", err=True)
        return err.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("gristmill: Stopped.", err=True)
        return stopped_code()
    except OSError as err:
        from gristmill.storage.files import machine_error

        return _told(machine_error(err))
    except (ImportError, MemoryError, SyntaxError) as err:
        if (why := unloaded(err)) is None:
            raise
        click.echo(why, err=True)
        return 1
    except RuntimeError as err:
        if str(err) != "can't start new thread":  # all that Python says of it; no class of its own
            raise
        return _told(
            MachineError(f"this process may start no further thread (see `ulimit -u`, `-v`). {_AGAIN}")
        )
    return 0


def _told(err: GristmillError) -> int:
    click.echo(f"gristmill: {printable(err.told or str(err))}", err=True)
    return err.exit_code


if __name__ == "__main__":
    main()
