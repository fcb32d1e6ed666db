"""The options that several commands of `hltmode fleet` share, and what they come to."""

from __future__ import annotations

import getpass
import ssl
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from contract.errors import ConfigError
from contract.modes import Wanted
from contract.options import WORDS, Number
from contract.request import LONGEST_DEADLINE_S as LONGEST_S
from contract.secret_file import read_token
from fleet.farm import Farm
from fleet.hosts import read_places
from fleet.order import Order
from fleet.rollout import Ramp, stage_sizes, stages_of, usual_of

STORE: Final = Path("~/.local/state/hltmode/fleet.sqlite")
Command = TypeVar("Command", bound=Callable[..., Any])
CODES: Final = (
    "Exit codes: 0 every node is where it was wanted, 2 wrong usage or no node left, 3 configuration, 4 another one "
    "has the operation or some of the nodes, 5 the store or a source can't be used, 10 some nodes are not, 11 some "
    "are still on their way (also after Ctrl-C, or when nobody reads the output any more), 12 stopped, too many were "
    "bad, 13 called off, 130 Ctrl-C before anybody was asked."
)
PLAIN_CODES: Final = (
    "Exit codes: 0 shown, 2 wrong usage, 3 configuration, 5 the store or a source can't be used, 130 Ctrl-C, 141 "
    "nobody reads the output any more."
)

TO: Final = {"cloud": Wanted.CLOUD, "hlt": Wanted.HLT}

dry_option = click.option("--dry-run", is_flag=True, help="Only show what it would do, as `plan` does.")
resume_option = click.option(
    "--resume", "resumed", default="", metavar="OPERATION", help="Carry on this operation instead, as `resume` does."
)
who_option = click.option(
    "--who", type=WORDS, default=getpass.getuser, help="Who wants it so. [default: your user name]"
)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON lines for machines.")


def of_farm(command: Command) -> Command:
    """Adds the options about the farm; the command gets them as `farm`."""

    @click.option(
        "--store",
        type=click.Path(path_type=Path),
        default=STORE,
        show_default=True,
        envvar="HLTMODE_FLEET_STORE",
        help="The file with all operations.",
    )
    @click.option(
        "--nodes",
        "nodes_file",
        type=click.Path(path_type=Path),
        envvar="HLTMODE_FLEET_NODES",
        help="The farm's nodes: lines `host appliance [address[:port]]`. Without it names are asked at port 9000.",
    )
    @click.option(
        "--token-file",
        type=click.Path(path_type=Path),
        envvar="HLTMODE_FLEET_TOKEN_FILE",
        help="The token in it is borne as bearer token; nobody else may read the file.",
    )
    @click.option(
        "--ca-file",
        type=click.Path(path_type=Path),
        envvar="HLTMODE_FLEET_CA_FILE",
        help="Asks by https, at port 9443 where it were 9000; a node needs a certificate of this authority.",
    )
    @wraps(command)
    def with_farm(
        *arguments: Any,
        store: Path,
        nodes_file: Path | None,
        token_file: Path | None,
        ca_file: Path | None,
        **more: Any,
    ) -> Any:
        places = read_places(nodes_file) if nodes_file else {}
        token = read_token(token_file, "--token-file") if token_file else ""
        farm = Farm(store.expanduser(), places, token, _trust(ca_file) if ca_file else None, nodes_file)
        return command(*arguments, farm=farm, **more)

    return with_farm  # type: ignore[return-value]  # click's decorators keep the type that they are given


def of_order(command: Command) -> Command:
    """Adds the options of an operation; the command gets them as `order`."""

    @click.option("--who", type=WORDS, default=getpass.getuser, help="Who orders it. [default: your user name]")
    @click.option("--reason", default="", help="Why; every node's journal keeps it.")
    @click.option("--count", "most", type=click.IntRange(min=1), help="So many move; who is there already is not one.")
    @click.option("--percent", type=Number(0.0, 100.0, min_open=True), help="Such a share of all named moves.")
    @click.option("--keep", type=click.IntRange(min=0), default=0, help="So many of each appliance stay in HLT.")
    @click.option("--keep-total", type=click.IntRange(min=0), default=0, help="So many of all nodes named stay in HLT.")
    @click.option("--prefer", type=click.Choice(["idle"]), help="Nodes with the fewest jobs first: least is lost.")
    @click.option("--ramp", help="Stages: counts or shares. [default: 1,5%,100% to the cloud, 100% back to HLT]")
    @click.option("--pause", "pause_s", type=Number(0.0, LONGEST_S), default=0.0, help="Seconds between stages.")
    @click.option("--in-flight", type=click.IntRange(min=1), default=1500, show_default=True, help="Under way at once.")
    @click.option("--per-second", type=Number(0.1, 1e6), default=1000.0, show_default=True, help="Asked a second.")
    @click.option(
        "--stop-share",
        type=Number(0.0, 1.0),
        help="Asks nobody more when a greater share of those so far is bad, two at least. "
        "[default: 0.1 to the cloud, 1 (never) back to HLT]",
    )
    @click.option(
        "--limit", "limit_s", type=Number(1.0, LONGEST_S), help="Seconds for each node. [default: 240 or 120]"
    )
    @click.option("--hurry", is_flag=True, help="Without waiting for two more lumisections.")
    @click.option("--deadline", "deadline_s", type=Number(1.0, LONGEST_S), help="Seconds; then jobs are killed.")
    @wraps(command)
    def with_order(*arguments: Any, **more: Any) -> Any:
        names = ("who", "reason", "most", "percent", "keep", "keep_total", "limit_s", "hurry", "deadline_s")
        given = {name: more.pop(name) for name in names}
        if given["most"] and given["percent"]:
            raise click.UsageError("--count or --percent, not both")
        text, share = more.pop("ramp"), more.pop("stop_share")
        ramp = Ramp(
            stages=stages_of(text or "100%"),
            pause_s=more.pop("pause_s"),
            in_flight=more.pop("in_flight"),
            per_s=more.pop("per_second"),
            bad_share=1.0 if share is None else share,
            bad_at_least=2,
        )
        for stage in ramp.stages:  # how they follow each other depends on how many nodes there are
            stage_sizes(Ramp(stages=(stage,)), 1)
        order = Order(prefer_idle=more.pop("prefer") == "idle", ramp=ramp, usual=usual_of(text, share), **given)
        return command(*arguments, order=order, **more)

    return with_order  # type: ignore[return-value]  # click's decorators keep the type that they are given


def _trust(path: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", "") or getattr(error, "reason", "") or "no certificate in it"
        raise ConfigError(f"{path}: cannot be used ({reason}); see --ca-file") from error
