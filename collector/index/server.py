"""Asks an index server for its templates, policies and indices, and installs what lacks. A thin shell.

Nothing is given up because one thing fails: every part and every index gets its finding.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final, NamedTuple

import msgspec

from collector.index.clients import IndexClient, IndexTrouble, Reply, check_product
from collector.index.fields import ALL_KINDS
from collector.index.findings import FORCED, WRITTEN, Finding, State, difference, judge, judge_index, kind_of
from collector.index.parts import Found, Json, Part, PartKind, found, plain_mapping
from collector.index.templates import DEFAULT_SHAPE, Shape, mappings, parts, template_name

# No index is ever called so; the server is asked what it would be like.
NEVER: Final = "never-2000.01.01"


class NotAllowed(IndexTrouble):
    """The user may not even look at templates."""


class Surveyed(NamedTuple):
    """One thing that was looked at: how it stands, ours and theirs, and for an index what mends it."""

    finding: Finding
    part: Part | None = None
    on_server: Found | None = None
    mend: Json | None = None

    @property
    def difference(self) -> list[str]:
        """A unified diff from theirs to ours."""
        return difference(self.part, self.on_server) if self.part else []


def survey(client: IndexClient, shape: Shape = DEFAULT_SHAPE) -> list[Surveyed]:
    """Returns how everything on the server stands. Raises IndexTrouble."""
    check_product(client)
    lifecycle, seen = _policies(client, shape)
    for part in parts(client.sink.kind, shape, lifecycle=lifecycle):
        if not part.kind.is_policy:
            seen.append(_judged(part, _allowed(client, client.request("GET", part.path))))
    if all(each.finding.good for each in seen):
        seen += _new_indices(client)
    return seen + _indices(client)


def install(client: IndexClient, seen: list[Surveyed], *, force: bool = False) -> list[Finding]:
    """Writes what lacks or is older, and with `force` what was changed; returns how everything stands then."""
    return [_settle(client, each, force=force) for each in seen]


def _settle(client: IndexClient, each: Surveyed, *, force: bool) -> Finding:
    finding = each.finding
    if each.part is not None and (finding.state in WRITTEN or (force and finding.state in FORCED)):
        params = each.on_server.params if each.on_server else None
        reply = _send(client, "PUT", each.part.path, each.part.body, params)
        done = State.UPDATED if each.on_server else State.INSTALLED
    elif each.mend:
        reply = _send(client, "PUT", f"/{finding.name}/_mapping", each.mend | {"_meta": mappings_meta(finding.name)})
        done = State.UPDATED
    else:
        return finding
    if reply.status >= HTTPStatus.BAD_REQUEST:
        return finding._replace(state=State.REFUSED, words=_refusal(reply))
    return finding._replace(state=done, words="" if finding.state is State.MISSING else f"was: {finding.state}")


def mappings_meta(index: str) -> Json:
    """Returns the mark of our mapping for an index of that name."""
    kind = kind_of(index)
    meta: Json = mappings(kind)["_meta"] if kind else {}
    return meta


def _send(
    client: IndexClient, method: str, path: str, body: Json | None = None, params: dict[str, str] | None = None
) -> Reply:
    content = None if body is None else msgspec.json.encode(body)
    return client.request(method, path, body=content, params=params)


def _refusal(reply: Reply) -> str:
    remedy = "; the user needs the right to manage templates and policies" if reply.status in (401, 403) else ""
    return f"HTTP {reply.status}: {reply.reason}{remedy}"


def _no_handler(reply: Reply) -> bool:
    """Whether the distribution has nothing at all at that path."""
    return reply.status in (400, 405) and "no handler found" in reply.reason


def _policies(client: IndexClient, shape: Shape) -> tuple[bool, list[Surveyed]]:
    """Returns whether the server has lifecycle policies, and how ours stand."""
    seen: list[Surveyed] = []
    for part in parts(client.sink.kind, shape):
        if not part.kind.is_policy:
            break
        reply = client.request("GET", part.path)
        if _no_handler(reply):
            words = "this distribution has none: delete old indices by `hltmode index expire`, once a day"
            return False, [Surveyed(Finding(part.kind.words, "all", State.NOT_HAD, words))]
        seen.append(_judged(part, reply))  # templates may be allowed where policies are not
    return True, seen


def _allowed(client: IndexClient, reply: Reply) -> Reply:
    if reply.status in (401, 403):
        raise NotAllowed(
            f"{client.where}: HTTP {reply.status}, may not look at templates: name a user who may manage them with "
            f"--username-file and --password-file, or --api-key-file ({reply.reason[:80]})"
        )
    return reply


def _judged(part: Part, reply: Reply) -> Surveyed:
    if reply.status == HTTPStatus.NOT_FOUND:
        return Surveyed(judge(part, None), part)
    if reply.status >= HTTPStatus.BAD_REQUEST:
        return Surveyed(Finding(part.kind.words, part.name, State.REFUSED, _refusal(reply)), part)
    on_server = found(part.kind, part.name, reply.body)
    return Surveyed(judge(part, on_server), part, on_server)


def _new_indices(client: IndexClient) -> list[Surveyed]:
    """Asks what a new index would be like, for another template with a higher priority may win over ours."""
    seen = []
    for kind in ALL_KINDS:
        reply = client.request("POST", f"/_index_template/_simulate_index/hltmode-{kind}-{NEVER}")
        if reply.status >= HTTPStatus.BAD_REQUEST or not isinstance(reply.body, dict):
            continue  # asked for good measure; who may not ask does without
        mapping = reply.body.get("template", {}).get("mappings", {})
        if plain_mapping(mapping).get("properties") != plain_mapping(mappings(kind))["properties"]:
            words = "a new index gets other fields: another index template has a higher priority"
            seen.append(Surveyed(Finding(PartKind.TEMPLATE.words, template_name(kind), State.OVERRULED, words)))
    return seen


def _indices(client: IndexClient) -> list[Surveyed]:
    reply = client.request("GET", "/hltmode-*/_mapping", params={"ignore_unavailable": "true"})
    if reply.status >= HTTPStatus.BAD_REQUEST:
        return [Surveyed(Finding("index", "hltmode-*", State.REFUSED, _refusal(reply)))]
    found_indices: dict[str, Any] = reply.body
    seen = []
    for index, answer in sorted(found_indices.items()):
        if (kind := kind_of(index)) is not None:
            finding, mend = judge_index(index, kind, answer["mappings"])
            seen.append(Surveyed(finding, mend=mend))
    return seen
