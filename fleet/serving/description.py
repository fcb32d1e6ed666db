"""The OpenAPI description, made from the table of routes and the types of what is asked and answered. Pure."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any, Final

import msgspec

from fleet.serving.forms import Refusal
from fleet.serving.routes import EVENTS, JSON, ROUTES, Route

REFERENCE: Final = "#/components/schemas/{name}"
WORDS: Final = {
    200: "Done, or as it is.",
    201: "Begun; it goes on without the caller.",
    400: "Something in the request can't be understood; the line says what.",
    401: "No token, or not the right one.",
    403: "This server only shows, or a page of another site asked.",
    404: "There is no such operation.",
    409: "Other operations have some of the nodes; `holders` says whose. Or the id belongs to another order.",
    410: "There is no such plan any more.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "No node is left to ask; the line says what took them away.",
    503: "Too many at once; ask again in a moment.",
}


def description() -> dict[str, Any]:
    """Returns the description as JSON types."""
    types = [kind for route in ROUTES for kind in (*route.answers.values(), route.body) if kind is not None]
    schemas, components = msgspec.json.schema_components([*types, Refusal], ref_template=REFERENCE)
    by_type = dict(zip(map(repr, [*types, Refusal]), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_type)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "hltmode fleet serve",
            "version": version("hltmode"),
            "summary": "Watches and switches the nodes of an HLT farm.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, schemas: dict[str, dict[str, Any]]) -> dict[str, Any]:
    answers: dict[str, Any] = {
        str(status): {"description": WORDS[status], "content": {route.media: {"schema": schemas[repr(kind)]}}}
        for status, kind in route.answers.items()
    }
    refusal = {JSON: {"schema": schemas[repr(Refusal)]}}
    answers |= {str(status): {"description": WORDS[status], "content": refusal} for status in sorted(route.refuses)}
    answers["default"] = {"description": "Why not, in one line.", "content": refusal}
    found: dict[str, Any] = {"operationId": route.name, "summary": route.summary, "responses": answers}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    parameters += [
        {
            "name": each.name,
            "in": "query",
            "required": each.required,
            "description": each.meaning,
            "schema": {"type": "string"},
        }
        for each in route.query
    ]
    if route.media == EVENTS:
        words = "The id of the last event that was read."
        parameters.append({"name": "Last-Event-ID", "in": "header", "description": words, "schema": {"type": "string"}})
    if parameters:
        found["parameters"] = parameters
    if route.body is not None:
        found["requestBody"] = {"required": True, "content": {JSON: {"schema": schemas[repr(route.body)]}}}
    if route.acts:
        found["security"] = [{"token": []}]
    return found
