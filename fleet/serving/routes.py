"""The table of routes, and what each does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeVar

import msgspec
from aiohttp import web

from contract.answering import tell_door
from contract.request import printable
from contract.undecodable import UNDECODABLE
from fleet.hosts import folded
from fleet.serving import forms
from fleet.serving.guard import LARGEST_BODY_BYTES, Clients, Stopped, add_headers, json, middleware
from fleet.serving.orders import named
from fleet.serving.page import Page
from fleet.serving.service import Service
from fleet.serving.streaming import Streams

Body = TypeVar("Body", bound=forms.Form)
JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"
SMALLEST_PACKED_BYTES: Final = 4096


class Parameter(NamedTuple):
    """Something in the query."""

    name: str
    meaning: str
    required: bool = False


class Route(NamedTuple):
    """One line of the table. `answers` has the type of each good answer, `refuses` the statuses of the others."""

    method: str
    path: str
    name: str
    summary: str
    answers: dict[int, type]
    refuses: tuple[int, ...] = ()
    body: type | None = None
    query: tuple[Parameter, ...] = ()
    acts: bool = False
    media: str = JSON


TO_WRITE: Final = (400, 401, 403, 413, 415)
AN_ORDER: Final = (*TO_WRITE, 404, 409, 422)

ROUTES: Final = (
    Route("GET", "/farm", "farm", "Every node's mode, the newest operations, and where events go on.",
          {200: forms.FarmView}),
    Route("GET", "/events", "events", "Changes as server-sent events: nodes, operations, switchovers, reload.",
          {200: str}, (503,), media=EVENTS,
          query=(Parameter("after", "The id after which events are wanted; Last-Event-ID comes first."),)),
    Route("GET", "/hosts", "hosts", "The nodes of a set.", {200: forms.HostsView}, (400, 503),
          query=(Parameter("set", "Such as fu-c2f[01-02]-01-[01-08].", required=True),)),
    Route("GET", "/access", "access", "Whether this token may act.", {200: forms.Access}, (401, 403), acts=True),
    Route("POST", "/plans", "plan", "What an order would mean; nobody is asked.", {200: forms.PlanView}, AN_ORDER,
          body=forms.OrderForm, acts=True),
    Route("POST", "/plans/{id}/begin", "begin", "Begins a plan, just as it was shown.",
          {201: forms.OperationView}, (*TO_WRITE, 409, 410), body=forms.BeginForm, acts=True),
    Route("GET", "/operations", "operations", "The newest operations, newest first.",
          {200: tuple[forms.OperationView, ...]}, (400,),
          query=(Parameter("limit", "How many at most; 30 if it is not given, 100 at most."),)),
    Route("POST", "/operations", "order", "Begins an operation: exclude, include, undo or retry.",
          {201: forms.OperationView, 200: forms.OperationView}, AN_ORDER, body=forms.OrderForm, acts=True),
    Route("GET", "/operations/{id}", "operation", "An operation with every node's standing; last is the newest.",
          {200: forms.OperationDetail}, (404,)),
    Route("POST", "/operations/{id}/cancel", "cancel", "Has it ask nobody any more; nodes on their way go on.",
          {200: forms.OperationView}, (401, 403, 404), acts=True),
    Route("POST", "/operations/{id}/carry-on", "carry_on", "Takes up an operation that nobody runs any more.",
          {200: forms.OperationView}, (401, 403, 404), acts=True),
    Route("GET", "/holds", "holds", "The nodes that no operation may take.", {200: tuple[forms.HoldView, ...]}),
    Route("POST", "/holds", "hold", "Has no operation take these nodes.", {200: forms.Done}, TO_WRITE,
          body=forms.HoldForm, acts=True),
    Route("POST", "/holds/release", "release", "Lets operations take these nodes again.", {200: forms.Done}, TO_WRITE,
          body=forms.ReleaseForm, acts=True),
    Route("GET", "/openapi.json", "description", "This description.", {200: dict}),
)  # fmt: skip


class _Api:
    """What each route does; the methods are named as in the table."""

    def __init__(self, service: Service, clients: Clients, streams: Streams, description: bytes) -> None:
        self._service = service
        self._clients = clients
        self._streams = streams
        self._description = description

    async def farm(self, _request: web.Request) -> web.StreamResponse:
        return _packed(json(200, self._service.farm_view(may_act=self._clients.may_act)))

    async def events(self, request: web.Request) -> web.StreamResponse:
        return await self._streams.stream(request)

    async def hosts(self, request: web.Request) -> web.StreamResponse:
        hosts = await self._service.hosts(request.query.get("set", ""))
        return json(200, forms.HostsView(hosts=tuple(hosts), folded=folded(hosts)))

    async def access(self, _request: web.Request) -> web.StreamResponse:
        return json(200, forms.Access(may_act=True))

    async def plan(self, request: web.Request) -> web.StreamResponse:
        return json(200, await self._service.plan(await _body(request, forms.OrderForm), _remote(request)))

    async def begin(self, request: web.Request) -> web.StreamResponse:
        form = await _body(request, forms.BeginForm)
        operation = await asyncio.shield(self._service.begin_plan(request.match_info["id"], form, _remote(request)))
        return json(201, self._service.running.detail(operation)[0])

    async def operations(self, request: web.Request) -> web.StreamResponse:
        limit = request.query.get("limit", "30")
        if not (limit.isascii() and limit.isdigit() and int(limit[:6]) > 0):
            raise Stopped(400, f"limit: a number above 0 wanted, not {limit[:40]!r}")
        return _packed(json(200, await self._service.running.history(int(limit[:6]))))

    async def order(self, request: web.Request) -> web.StreamResponse:
        form = await _body(request, forms.OrderForm)
        operation, new = await asyncio.shield(self._service.order(form, _remote(request)))
        return json(201 if new else 200, self._service.running.detail(operation)[0])

    async def operation(self, request: web.Request) -> web.StreamResponse:
        operation = self._service.store.operation(request.match_info["id"])
        view, nodes = self._service.running.detail(operation)
        return _packed(json(200, forms.OperationDetail(operation=view, nodes=nodes)))

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        operation = self._service.cancel(request.match_info["id"], _remote(request))
        return json(200, self._service.running.detail(operation)[0])

    async def carry_on(self, request: web.Request) -> web.StreamResponse:
        operation = self._service.carry_on(request.match_info["id"], _remote(request))
        return json(200, self._service.running.detail(operation)[0])

    async def holds(self, _request: web.Request) -> web.StreamResponse:
        found = [forms.HoldView(host=each.host, who=each.who, reason=each.reason, since_s=each.since_s)
                 for each in self._service.store.holds().values()]  # fmt: skip
        return json(200, found)

    async def hold(self, request: web.Request) -> web.StreamResponse:
        form = await _body(request, forms.HoldForm)
        hosts = await self._service.hosts(form.hosts)
        reason = printable(form.reason, len(form.reason)).strip()
        if not reason:
            raise Stopped(400, "reason: some words are wanted; everybody who looks at the nodes reads them")
        self._service.store.hold(hosts, named(form.who, _remote(request)), reason)
        self._service.tell()
        return json(200, forms.Done(nodes=len(hosts)))

    async def release(self, request: web.Request) -> web.StreamResponse:
        form = await _body(request, forms.ReleaseForm)
        released = self._service.store.release(await self._service.hosts(form.hosts))
        self._service.tell()
        return json(200, forms.Done(nodes=released))

    async def description(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(body=self._description, content_type=JSON)

    def handler(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Returns what answers a route: callers that act must bear the token before anything is read."""
        found: Callable[[web.Request], Awaitable[web.StreamResponse]] = getattr(self, route.name)

        async def guarded(request: web.Request) -> web.StreamResponse:
            self._clients.check(request)
            return await found(request)

        return guarded if route.acts else found


def build(
    service: Service, clients: Clients, streams: Streams, names: frozenset[str], description: bytes
) -> web.Application:
    """Returns the application: the table, and the page."""
    application = web.Application(middlewares=[tell_door, middleware(names)], client_max_size=LARGEST_BODY_BYTES)
    application.on_response_prepare.append(add_headers)
    api = _Api(service, clients, streams, description)
    for route in ROUTES:
        if route.method == "GET":
            application.router.add_get(route.path, api.handler(route), allow_head=route.media != EVENTS)
        else:
            application.router.add_route(route.method, route.path, api.handler(route))
    page = Page()
    application.router.add_get("/", page.first)
    application.router.add_get("/page/{name}", page.file)
    return application


async def _body(request: web.Request, kind: type[Body]) -> Body:
    """Returns the body of a request. Raises Stopped."""
    if request.content_type != JSON:
        raise Stopped(415, f"Content-Type: {JSON} wanted")
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except UNDECODABLE as error:
        raise Stopped(400, f"body: {error}") from error


def _packed(response: web.Response) -> web.Response:
    """Has a large answer go over the line compressed."""
    if isinstance(response.body, bytes) and len(response.body) > SMALLEST_PACKED_BYTES:
        response.enable_compression()
    return response


def _remote(request: web.Request) -> str:
    return request.remote or "?"
