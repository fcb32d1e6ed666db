"""What a shell offers for an operation's id: those of the store, the newest first."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem

from contract.errors import HltmodeError
from fleet.options import STORE
from fleet.store import Store

OFFERED: Final = 20
Command = TypeVar("Command", bound=Callable[..., Any])


def operation_argument(**how: Any) -> Callable[[Command], Command]:
    """Returns the decorator that adds the argument OPERATION; `how` goes on to click."""
    return click.argument("operation", shell_complete=complete_operation, **how)


def complete_operation(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Returns the operations whose ids begin so; without a store there are none."""
    path = Path(context.params.get("store") or STORE).expanduser()
    if not path.exists():
        return []
    try:
        with closing(Store(path)) as store:
            operations = store.operations(newest=OFFERED)
    except HltmodeError:
        return []
    words = [("last", "the newest"), *((each.id, f"{each.to.value}: {each.reason}") for each in reversed(operations))]
    return [CompletionItem(word, help=text) for word, text in words if word.startswith(begun)]
