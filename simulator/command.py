"""`hltmode simulate`: the stand-ins one by one, each a process of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import click

from contract.options import POSITIVE

PROGRAMS: Final = Path(__file__).parent
PASS_ON: Final = {"ignore_unknown_options": True, "help_option_names": []}


@click.group(epilog="Each prints its own options and an example: hltmode simulate bu --help")
def simulate() -> None:
    """Run one stand-in: BU, job, merge script or cloud tool.

    They are real processes that read and write the files of a real farm, on one machine. Give them folders of their
    own, never those of a node that works. `hltmode demo` runs them all together.
    """


@simulate.command(short_help="A BU: lumisections, notices to filter units, resource_summary.")
@click.option("--ramdisk", type=click.Path(path_type=Path), required=True, help="Its ramdisk; made when missing.")
@click.option("--host", default="bu-sim01", show_default=True, help="Its name.")
@click.option("--lumisection-s", type=POSITIVE, default=23.31, show_default=True, help="Length of a lumisection.")
@click.option("--period-s", type=POSITIVE, default=5.0, show_default=True, help="Between two resource summaries.")
@click.option("--port", type=click.IntRange(1, 65535), default=9000, show_default=True, help="Where units listen.")
@click.option("--box-poll-s", type=POSITIVE, default=0.1, show_default=True, help="Between two looks at the boxes.")
@click.option("--notice-timeout-s", type=POSITIVE, default=5.0, show_default=True, help="Patience with a unit.")
@click.option("--buname", is_flag=True, help="Say its name when it announces a run.")
@click.option(
    "--run", "runs", type=click.IntRange(1, 999_999_999), multiple=True, help="Start this run at once; may be repeated."
)
def bu(**options: object) -> None:
    """A BU over its own ramdisk, with the filter units whose box files lie there.

    It closes lumisections of its runs, announces runs to the filter units at the address in their box files (loopback
    only), writes appliance/resource_summary, and announces a run again to a unit that came back without one. It asks
    no data of units that are masked: each EoLS file lists whom it asked.

    Lines on stdin control it, each answered by one line that begins with ok or no: `start N`, `stop N`, `quit`.

    \b
    Example:
      hltmode simulate bu --ramdisk /tmp/bu --lumisection-s 2
      start 100
    """
    from simulator.bu import Settings, run  # noqa: PLC0415 - the other sub-commands need no asyncio

    run(Settings(**options))  # type: ignore[arg-type]  # click has checked what it passes on


@simulate.command(short_help="A farm of many nodes in one process.")
@click.option("--nodes", type=click.IntRange(1, 20_000), default=20, show_default=True, help="How many.")
@click.option("--first", default="127.1.0.1", show_default=True, metavar="ADDRESS", help="Of the first; then upwards.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=9000, show_default=True, help="Of all; 0: any, each its own."
)
@click.option("--speed", type=POSITIVE, default=1.0, show_default=True, help="How much faster time passes there.")
@click.option("--faults", default="", metavar="MIX", help="Such as slow=5%,dead=2: shares or numbers of nodes.")
@click.option("--seed", type=int, default=1, show_default=True, help="Who has which fault, and how long things take.")
@click.option(
    "--hosts", type=click.Path(dir_okay=False, path_type=Path), help="Write `host appliance address:port` there."
)
@click.option("--control", type=click.IntRange(0, 65535), help="Port on 127.0.0.1 for GET /truth; 0: any.")
def farm(**options: object) -> None:
    """A farm of nodes, each at its own loopback address, that answer as switchers do.

    Each runs the switcher's own machine; jobs, merge script and cloud tool are simulated, and all nodes work in one run
    that goes on. They keep everything in memory. Lumisections last 23.31 s, so nodes leave after about a minute.
    Serves from the line with the word ready until SIGTERM.

    \b
    Faults, one a node at most:
      slow          every phase takes three times as long
      refuses       the cloud tool has no VM stack: refused with the reason
      refuses-late  the same, after the caller was told that it is accepted
      hangs         one job ends for nothing but SIGKILL: stuck in the end
      dead          refuses connections
      silent        takes connections and never answers
      loses         does what it is asked, but hangs up before the answer
      lies          publishes cloud, but no VM comes up: vms_failed
      dies          does what it is asked, and never answers again once it has accepted
      forgets       is installed anew 10 s after it has accepted
      mistaken      gives another node's name
      old           unmodified hltd: its CGI URLs only
      old-broken    the same, but its scripts can't make their files: 200, and a traceback for a page

    \b
    Example:
      hltmode simulate farm --nodes 1500 --speed 10 --faults slow=5%,dead=1% --hosts farm.txt --control 9100
    """
    from simulator.node_farm.serving import Settings, run  # noqa: PLC0415 - the other sub-commands need no asyncio

    run(Settings(**options))  # type: ignore[arg-type]  # click has checked what it passes on


@simulate.command(context_settings=PASS_ON, short_help="A CMSSW job of one run.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def job(arguments: tuple[str, ...]) -> None:
    """A CMSSW job: ends after lastLS of CMSSW_STOP, for CMSSW_STOP_pid<its pid>, or at the run's end."""
    _become("cmssw.py", arguments)


@simulate.command(context_settings=PASS_ON, short_help="The merge script of one run.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def merge(arguments: tuple[str, ...]) -> None:
    """A merge script: ends when the jobs are done and all their output is merged."""
    _become("merge.py", arguments)


@simulate.command(context_settings=PASS_ON, short_help="The cloud tool of one node: start, stop or status.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def cloud(arguments: tuple[str, ...]) -> None:
    """A cloud tool whose VMs are processes; exit codes as the real one's."""
    _become("cloud_tool.py", arguments)


def _become(program: str, arguments: tuple[str, ...]) -> None:
    """Replaces this process by one of the programs, so that its pid is the one that the caller sees."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-S", "-E", str(PROGRAMS / program), *arguments])  # noqa: S606
