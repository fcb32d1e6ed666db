"""How a simulated node answers over HTTP: as the daemon does, unless its fault says otherwise."""

from __future__ import annotations

import functools
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import msgspec
from msgspec.structs import replace

from contract.modes import Wanted
from contract.request import (
    HTTP_STATUS,
    LONGEST_REASON,
    LONGEST_WHO,
    REQUEST_ID,
    Answer,
    BadRequest,
    Request,
    Verdict,
    checked,
    printable,
)
from contract.undecodable import UNDECODABLE
from simulator.node_farm.clock import Clock
from simulator.node_farm.faults import Fault
from simulator.node_farm.node import FarmNode
from simulator.node_farm.small_http import Asked, Page, Respond
from switcher.api import ANSWER_WITHIN_S, JOURNAL_PAGE
from switcher.cgi import FOLDER

COMMANDS: Final = {f"{FOLDER}exclude_cgi.py": Wanted.CLOUD, f"{FOLDER}include_cgi.py": Wanted.HLT}
ACTIVE: Final = f"{FOLDER}cloud_mode_active_cgi.py"
MISTAKEN_HOST: Final = "fu-elsewhere"
# As cgitb shows it, shortened: the folder is not the web server's to write.
BROKEN: Final = """<TITLE>CGI script</TITLE>
<body bgcolor="#f0f0f8"><p>A problem occurred in a Python script. Here is the sequence of function calls.</p><pre>
Traceback (most recent call last):
  File &quot;cgi-bin/command.py&quot;, line 12, in &lt;module&gt;
    fp = open(command, &#x27;w+&#x27;)
PermissionError: [Errno 13] Permission denied: &#x27;command&#x27;
</pre></body>
"""
METHODS: Final = {"/status": "GET", "/journal": "GET", "/switch": "POST", ACTIVE: "GET"} | dict.fromkeys(
    COMMANDS, "GET"
)


class Entrance:
    """The door of one node. Closing a connection without an answer is `respond(None)`."""

    def __init__(self, node: FarmNode, clock: Clock) -> None:
        self._node = node
        self._clock = clock
        self._old = node.fault in (Fault.OLD, Fault.OLD_BROKEN)
        self._dead = False

    def handle(self, asked: Asked, respond: Respond) -> None:
        """Answers one request."""
        if self._node.fault is Fault.SILENT:
            return
        if self._dead:
            respond(None)
            return
        in_folder = asked.path.startswith(FOLDER)
        method = METHODS.get(asked.path) if in_folder or not self._old else None
        if method is None:
            respond(_text(HTTPStatus.NOT_FOUND, "404: Not Found", close=in_folder))
        elif asked.method != method:
            respond(_text(HTTPStatus.METHOD_NOT_ALLOWED, "405: Method Not Allowed", close=in_folder))
        else:
            try:
                self._answer(asked, respond)
            except BadRequest as error:
                respond(_text(HTTPStatus.BAD_REQUEST, f"{error}\n", close=in_folder))

    def _answer(self, asked: Asked, respond: Respond) -> None:
        if asked.path == "/status":
            status = self._node.status()
            mistaken = self._node.fault is Fault.MISTAKEN
            respond(_json(200, replace(status, host=MISTAKEN_HOST) if mistaken else status))
        elif asked.path == "/journal":
            respond(_json_text(200, b"[" + b",".join(self._journal(asked)) + b"]"))
        elif asked.path == "/switch":
            self._switch(asked, self._losing(respond))
        elif asked.path == ACTIVE:
            respond(_text(200, f"{self._node.cloud_cores()}\n", close=True))
        elif self._node.fault is Fault.OLD_BROKEN:
            respond(Page(200, BROKEN.encode(), "text/html; charset=utf-8", close=True))
        else:
            self._losing(respond)(self._command(asked))

    def _losing(self, respond: Respond) -> Respond:
        """Returns how requests are answered here: not at all when the node loses answers."""
        if self._node.fault is Fault.LOSES:
            return lambda _page: respond(None)
        if self._node.fault is Fault.DIES:
            return functools.partial(self._last_words, respond)
        return respond

    def _last_words(self, respond: Respond, page: Page | None) -> None:
        self._dead = page is not None and page.status == HTTP_STATUS[Verdict.ACCEPTED]
        respond(page)

    def _journal(self, asked: Asked) -> list[bytes]:
        after = asked.query.get("after", "0")
        if not (after.isascii() and after.isdigit() and len(after) < 16):
            raise BadRequest(f"after: the number of a record wanted, not {after[:40]!r}")
        return self._node.journal(int(after), JOURNAL_PAGE)

    def _switch(self, asked: Asked, respond: Respond) -> None:
        request = _request(asked)
        once = _Once(respond)
        late = Answer(id=request.id, verdict=Verdict.ACCEPTED, reason="the cloud tool is asked")
        alarm = self._clock.later(ANSWER_WITHIN_S, once, late)

        def answered(answer: Answer) -> None:
            alarm.cancel()
            once(answer)

        self._node.submit(request, answered)

    def _command(self, asked: Asked) -> Page:
        to = COMMANDS[asked.path]
        word = "exclude" if to is Wanted.CLOUD else "include"
        said = {} if self._old else asked.query
        name = said.get("id", "")
        if name and not REQUEST_ID.fullmatch(name):
            raise BadRequest("id: 1 to 80 letters, digits or ._:@- wanted, a letter or digit first")
        who = printable(said.get("who", f"cgi {asked.remote}"), LONGEST_WHO)
        self._node.command(to, who, printable(said.get("reason", ""), LONGEST_REASON), name)
        page = f"<html><body>{word} requested</body></html>\n"
        return Page(200, page.encode(), "text/html; charset=utf-8", close=True)


class _Once:
    """Answers with the first verdict that comes and with no other."""

    def __init__(self, respond: Callable[[Page], None]) -> None:
        self._respond: Callable[[Page], None] | None = respond

    def __call__(self, answer: Answer) -> None:
        respond, self._respond = self._respond, None
        if respond is not None:
            respond(_json(HTTP_STATUS[answer.verdict], answer))


def _request(asked: Asked) -> Request:
    """Returns the request of a body, held to what the daemon holds it to. Raises BadRequest."""
    if asked.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise BadRequest("Content-Type: application/json wanted")
    try:
        request = msgspec.json.decode(asked.body, type=Request)
    except UNDECODABLE as error:
        modes = " or ".join(wanted.value for wanted in Wanted)
        raise BadRequest(f"body: {error}; at least id and to ({modes}) wanted") from error
    return checked(replace(request, who=request.who or f"api {asked.remote}"))


def _json(status: int, content: object) -> Page:
    return _json_text(status, msgspec.json.encode(content))


def _json_text(status: int, content: bytes) -> Page:
    return Page(status, content + b"\n", "application/json")


def _text(status: int, words: str, *, close: bool) -> Page:
    return Page(status, words.encode(), close=close)
