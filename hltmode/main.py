"""The console command `hltmode`: its sub-commands are imported only when they are called."""

from __future__ import annotations

import importlib
import sys
from typing import Any, Final

import click

from contract.errors import READER_GONE, HltmodeError, Interrupted, nobody_reads

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "switcher": ("switcher.command:switcher", "The daemon that switches this node between HLT and cloud."),
    "collector": ("collector.command:collector", "The telemetry agent of this node."),
    "index": ("collector.index.command:index", "Templates and lifecycle of the index servers."),
    "history": ("collector.history.command:history", "Past switches: who, when, how long each phase took."),
    "fleet": ("fleet.command:fleet", "Ask many nodes at once and know the truth about each."),
    "mode": ("hltmode.mode_command:mode", "The node's mode: print it, wait for it, follow it."),
    "config": ("hltmode.config_command:config", "Explain a configuration file."),
    "doctor": ("hltmode.doctor_command:doctor", "Say what this machine lacks."),
    "demo": ("simulator.demo_command:demo", "A simulated farm switches before your eyes."),
    "simulate": ("simulator.command:simulate", "Run one stand-in: BU, job, merge script or cloud tool."),
}


class LazyGroup(click.Group):
    """A group whose members live in modules of other rooms, named in COMMANDS."""

    def invoke(self, context: click.Context) -> Any:
        """Runs the command. Ctrl-C and a reader who has gone are no errors of ours, and no success either."""
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None
        except BrokenPipeError:
            nobody_reads()
            sys.exit(READER_GONE)

    def list_commands(self, _context: click.Context) -> list[str]:
        """Returns the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """Imports and returns the command `name`."""
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of commands from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 the answer is no, 2 wrong usage, 3 configuration, 4 already running, "
    "5 surroundings (folder, port, mount), 6 not in time, 130 interrupted, 141 nobody reads the output any more.",
)
@click.version_option(package_name="hltmode")
def cli() -> None:
    """Switches a filter unit between trigger work and cloud work, and shows it."""


def main() -> None:
    """Runs the command line; an error for people becomes one line on stderr and its exit code."""
    code: int | str | None = 0
    try:
        cli(prog_name="hltmode")
    except SystemExit as error:
        code = error.code
    except HltmodeError as error:
        click.secho(f"hltmode: {error}", fg="red", err=True)
        code = error.exit_code
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        nobody_reads()
        code = code or READER_GONE
    sys.exit(code)
