"""`hltmode fleet`: asks many nodes to leave or to come back, watches them, and tells where each has ended."""

from __future__ import annotations

from typing import Final

import click

from fleet.follow.command import decisions, follow, policy
from fleet.hold_commands import hold, holds, release
from fleet.looking_commands import history, nodes, status, why
from fleet.serving.command import serve
from fleet.switching_commands import cancel, exclude, include, plan, resume, retry, undo, watch

COMMANDS: Final[tuple[click.Command, ...]] = (
    exclude,
    include,
    plan,
    nodes,
    status,
    watch,
    resume,
    cancel,
    undo,
    retry,
    history,
    why,
    hold,
    holds,
    release,
    follow,
    decisions,
    policy,
    serve,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def fleet() -> None:
    """Ask many nodes at once and know the truth about each.

    HOSTS are sets as ClusterShell writes them ('fu-c2f[01-40]-[01-08]', '@group', 'a!b', 'a&b'), - for stdin; or ask
    with --from a BU's box folder, a Prometheus or the index who there is.
    """


for each in COMMANDS:
    fleet.add_command(each)
