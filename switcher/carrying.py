"""Carries the machine's effects out, one by one, once they are on disk; what comes of them are events again.

File work waits its turn in one thread, so that an effect is over before the next begins. What may take long (the cloud
tool, a question to the BU's mount) is a task of its own whose answer arrives in the mailbox.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable

from contract.config import NodeConfig
from contract.modes import Wanted
from contract.paths import RunRef
from contract.request import Answer, Request
from switcher import run_files, tokens
from switcher.alarms import Alarms
from switcher.boxing import BuMount
from switcher.events import (
    Ask,
    CheckRun,
    Effect,
    Event,
    Ignite,
    MoveTokens,
    Refuse,
    Reply,
    Requested,
    RunChecked,
    StartWork,
    TellJobs,
    TokensMoved,
    Wake,
)
from switcher.hands import Hands
from switcher.igniter import Igniter
from switcher.states import State, Told, Verb
from switcher.timeline import Timeline
from switcher.work import Work

log = logging.getLogger(__name__)


class Carrier:
    """Owns what effects act on: cloud tool, mount, jobs, alarms, and whoever waits for an answer."""

    def __init__(self, config: NodeConfig, hands: Hands, post: Callable[[Event], None], work: Work) -> None:
        self.config = config
        self.igniter = Igniter(config.igniter, config.paths)
        self.mount = BuMount(config.paths, config.switch.mount_timeout_s)
        self.alarms = Alarms(asyncio.get_running_loop(), post)
        self.tasks = asyncio.TaskGroup()
        self._hands = hands
        self._post = post
        self._work = work
        self._stuck_token = ""
        self._replies: dict[str, list[asyncio.Future[Answer]]] = {}

    async def answer(self, request: Request) -> Answer:
        """Posts `request` and returns the answer, which is on disk by then."""
        reply: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._replies.setdefault(request.id, []).append(reply)
        self._post(Requested(request))
        return await reply

    def reload(self, config: NodeConfig) -> None:
        """Takes over what can change while running."""
        self.config = config
        self.igniter.settings = config.igniter

    async def carry_out(self, effect: Effect, state: State, timeline: Timeline) -> Event | None:  # noqa: C901 - one case for each effect
        """Carries `effect` out in `state` and returns what has happened by that."""
        match effect:
            case Reply(answer):
                for reply in self._replies.pop(answer.id, []):
                    if not reply.done():
                        reply.set_result(answer)
            case Ask(to, who, reason):
                return Requested(Request(id=f"{who}-{uuid.uuid4().hex[:12]}", to=to, who=who, reason=reason))
            case Ignite(verb):
                self.tasks.create_task(self._ignite(verb), name=f"cloud tool {verb.value}")
            case MoveTokens(to):
                return await self._move_tokens(to)
            case CheckRun(ref):
                self.tasks.create_task(self._check_run(ref), name=f"check of {ref}")
            case StartWork(ref):
                await self._hands.attempt(self._work.begin, ref)
            case Refuse(ref):
                await self._hands.attempt(run_files.remove_refused, self.config.paths, ref)
            case TellJobs(number, told):
                await self._tell_jobs(number, told)
            case Wake():
                self.alarms.set(effect, self.config, state, timeline)
        return None

    async def _ignite(self, verb: Verb) -> None:
        said = await self.igniter.ask(verb)
        if said.why:
            log.warning("cloud tool %s: %s", verb.value, said.why)
        self._post(said)

    async def _move_tokens(self, to: Wanted) -> TokensMoved:
        move = tokens.move_to_cloud if to is Wanted.CLOUD else tokens.move_from_cloud
        try:
            await self._hands.do(move, self.config.paths)
        except OSError as error:
            words = f"{error.filename}: {error.strerror}"
            if words != self._stuck_token:
                log.error("core token %s can't be moved for %s: %s", error.filename, to.value, error.strerror)
            self._stuck_token = words
            return TokensMoved(to, words)
        self._stuck_token = ""
        return TokensMoved(to)

    async def _check_run(self, ref: RunRef) -> None:
        self._post(RunChecked(ref, await self.mount.ongoing(ref.number)))

    async def _tell_jobs(self, number: int, told: Told) -> None:
        last = 1
        if told is Told.LAST_LUMISECTION:
            last = await self.mount.last_lumisection(number) + self.config.jobs.extra_lumisections
        await self._hands.attempt(self._work.tell, number, told, last)
