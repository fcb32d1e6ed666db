"""What is installed on an index server piece by piece: component templates, index templates, lifecycle policies. Pure.

Servers give back another form than they were given: numbers as words, settings nested, defaults added. `bare` brings
both to one form. Each part is signed with the program's version and a hash of its content; when that hash no longer
fits what the server has, somebody has changed the part by hand.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

import msgspec

from contract.index_names import OWNER

Json = dict[str, Any]


class PartKind(Enum):
    """The value holds words for people, the path at the server, and how file names end."""

    ILM = ("ILM policy", "/_ilm/policy", "ilm")
    ISM = ("ISM policy", "/_plugins/_ism/policies", "ism")
    COMPONENT = ("component template", "/_component_template", "component")
    TEMPLATE = ("index template", "/_index_template", "template")

    @property
    def words(self) -> str:
        """For people."""
        return self.value[0]

    @property
    def is_policy(self) -> bool:
        """Whether it belongs to what not every distribution has."""
        return self in (PartKind.ILM, PartKind.ISM)


class Part(msgspec.Struct, frozen=True):
    """One piece, signed, as it is sent to the server."""

    kind: PartKind
    name: str
    body: Json

    @property
    def path(self) -> str:
        """Where it lies at the server."""
        return f"{self.kind.value[1]}/{self.name}"

    @property
    def file_name(self) -> str:
        """What it is called in the folder `index-templates`."""
        return f"{self.name}.{self.kind.value[2]}.json"


class Found(NamedTuple):
    """A part as the server has it, and the parameters with which it lets itself be replaced."""

    body: Json
    params: dict[str, str]


class Signature(NamedTuple):
    """Which version of the program made a part, and the hash of what it then held."""

    version: int
    content: str


def signed(kind: PartKind, name: str, body: Json, version: int) -> Part:
    """Returns `body` as a part that carries version and hash."""
    content = content_hash(kind, body)
    if kind is PartKind.ISM:  # has no room for metadata
        policy = body["policy"]
        mark = f"{policy['description']} [{OWNER} version {version}, content {content}]"
        return Part(kind, name, {"policy": policy | {"description": mark}})
    meta = {"owner": OWNER, "version": version, "content": content}
    if kind is PartKind.ILM:
        return Part(kind, name, {"policy": body["policy"] | {"_meta": meta}})
    return Part(kind, name, body | {"_meta": meta})


_ISM_MARK: Final = re.compile(rf" ?\[{OWNER} version (\d+), content (\w+)\]$")


def signature(kind: PartKind, body: Json) -> Signature | None:
    """Returns how `body` is signed, or None."""
    if kind is PartKind.ISM:
        mark = _ISM_MARK.search(str(body.get("policy", {}).get("description", "")))
        return Signature(int(mark[1]), mark[2]) if mark else None
    meta: Any = (body["policy"] if kind is PartKind.ILM else body).get("_meta")
    try:
        return Signature(int(meta["version"]), str(meta["content"])) if meta["owner"] == OWNER else None
    except (TypeError, KeyError, ValueError):
        return None


def content_hash(kind: PartKind, body: Json) -> str:
    """Returns the hash of what `body` holds, whichever form it is in."""
    return hashlib.sha256(msgspec.json.encode(bare(kind, body), order="sorted")).hexdigest()[:16]


def found(kind: PartKind, name: str, answer: Json) -> Found | None:
    """Returns the part out of a server's answer with status 200, or None if it isn't in there."""
    if kind is PartKind.ILM:
        return Found({"policy": answer[name]["policy"]}, {}) if name in answer else None
    if kind is PartKind.ISM:
        params = {"if_seq_no": str(answer.get("_seq_no")), "if_primary_term": str(answer.get("_primary_term"))}
        return Found({"policy": answer["policy"]}, params) if "policy" in answer else None
    one = "component_template" if kind is PartKind.COMPONENT else "index_template"
    return next((Found(each[one], {}) for each in answer[f"{one}s"] if each["name"] == name), None)


def bare(kind: PartKind, body: Json) -> Json:
    """Returns `body` without its signature, in the one form in which two can be compared."""
    if kind is PartKind.ILM:
        return {"policy": {key: value for key, value in body["policy"].items() if key != "_meta"}}
    if kind is PartKind.ISM:
        return {"policy": _bare_ism(body["policy"])}
    # Elasticsearch 9 adds when a template was made and changed
    own = {
        key: value for key, value in body.items() if key != "_meta" and not re.search("^(created|modified)_date", key)
    }
    if "template" in own:
        own["template"] = {
            key: flat_settings(value) if key == "settings" else plain_mapping(value) if key == "mappings" else value
            for key, value in own["template"].items()
        }
    return own


def flat_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns settings as dotted names with words as values, however they are nested."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= flat_settings(value, f"{name}.")
        else:
            full = name if name.startswith("index.") else f"index.{name}"
            flat[full] = [_word(each) for each in value] if isinstance(value, list) else _word(value)
    return dict(sorted(flat.items()))


def plain_mapping(mapping: Mapping[str, Any]) -> Json:
    """Returns a mapping in which an object is not called one and `dynamic` is a word."""
    plain = {
        key: {name: plain_mapping(inner) for name, inner in value.items()} if key in ("properties", "fields") else value
        for key, value in mapping.items()
    }
    if "properties" in plain and plain.get("type") == "object":
        del plain["type"]
    if "dynamic" in plain:
        plain["dynamic"] = _word(plain["dynamic"])
    return plain


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_ISM_ADDED: Final = ("policy_id", "last_updated_time", "schema_version", "error_notification", "user")
_ISM_RETRY: Final = {"count": 3, "backoff": "exponential", "delay": "1m"}


def _bare_ism(policy: Json) -> Json:
    bare_policy = {
        key: value for key, value in policy.items() if key not in _ISM_ADDED or (value and key == "error_notification")
    }
    bare_policy["description"] = _ISM_MARK.sub("", str(policy.get("description", "")))
    bare_policy["states"] = [
        state | {"actions": [
            {key: value for key, value in action.items() if (key, value) != ("retry", _ISM_RETRY)}
            for action in state.get("actions", [])
        ]}
        for state in policy.get("states", [])
    ]  # fmt: skip
    bare_policy["ism_template"] = [
        {key: value for key, value in each.items() if key != "last_updated_time"}
        for each in policy.get("ism_template") or []
    ]
    return bare_policy
