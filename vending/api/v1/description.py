"""The description of the vendors' API in OpenAPI 3.1, written from the table of operations."""

import functools
import re
from collections.abc import Sequence
from http import HTTPStatus
from importlib import metadata
from typing import Any, Final

import msgspec

from vending.api.v1 import problems, receipts, tokens
from vending.api.v1.operation import Operation
from vending.api.v1.problems import Problem, shape_of
from vending.api.v1.table import OPERATIONS
from vending.api.v1.tokens import Token, TokenRefusal
from vending.errors import VendingError
from vending.vendors import assertions
from vending.vendors.vendor import Scope

Json = dict[str, Any]

TAGS: Final = {
    "who": "Proving who calls: access tokens for machines, API keys for small tills.",
    "sales": "Looking meters up, quoting and selling: one resource by the vendor's own reference.",
    "account": "The vendor's money with the utility.",
    "batches": "Shifts of outlets and tills, with totals that are the ledger's own.",
    "webhooks": "Being told, by the Standard Webhooks specification.",
}

SCOPES: Final = {
    Scope.METERS: "Look meters up and ask for quotes.",
    Scope.SALES: "Sell, ask what became of a sale, reprint.",
    Scope.REVERSALS: "Ask for a sale to be reversed.",
    Scope.ACCOUNT: "See float, deposits, statement and commission; announce deposits.",
    Scope.SHIFTS: "Open and close batches, and read their totals.",
    Scope.WEBHOOKS: "Say where to be told of things.",
    Scope.FREE_ISSUE: "Issue free units; given only where the utility asks for it.",
    Scope.ENGINEERING: "Issue engineering tokens; given only where the utility asks for it.",
}

PATH_NAMES: Final = {
    "meter": ("^[0-9 -]{1,40}$", "A meter's number, or the 18 digits of its card."),
    "quote": ("^qt_[0-9]{1,19}$", "A quote, by the name it was given."),
    "reference": (f"^{receipts.REFERENCE}$", "The vendor's own name of a sale."),
    "deposit": ("^dep_[0-9]{1,19}$", "A deposit, by the name it was given."),
    "batch": ("^bat_[0-9]{1,19}$", "A batch, by the name it was given."),
    "endpoint": ("^ep_[0-9]{1,19}$", "An endpoint, by the name it was given."),
    "event": ("^evt_[0-9]{1,19}$", "An event: the webhook-id of its deliveries."),
}
"""What stands between braces in paths: its pattern, and what it is."""

INTRODUCTION: Final = (
    "Sell prepaid electricity for the utility. Money is whole cents, energy whole watt-hours, time "
    "RFC 3339 with an offset. A refusal is problem+json: `code` is from a closed list, `retry` "
    "says whether to ask again, `money_state` what became of the money."
)

_REF: Final = "#/components/schemas/"
_FORM_MEMBERS: Final = {
    "grant_type": {"type": "string", "const": tokens.GRANT},
    "scope": {"type": "string", "description": "Scopes by spaces; all there are, if left out."},
    "client_id": {"type": "string"},
    "client_secret": {"type": "string"},
    "client_assertion_type": {"type": "string", "const": assertions.TYPE},
    "client_assertion": {"type": "string", "description": "A JWT signed by the client."},
}


@functools.cache
def written() -> bytes:
    """Return the description as it is served and as it lies in docs/reference/openapi.json."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=1) + b"\n"


def document() -> Json:
    """Return the description."""
    paths: Json = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    paths[tokens.TOKEN_PATH] = {"post": _token()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Stima vendor API",
            "version": metadata.version("stima"),
            "description": INTRODUCTION,
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": says} for name, says in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "responses": {f"Refused{status}": told for status, told in _shared().items()},
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key: stima_live_... or stima_test_...",
                },
                "client": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "A client and its secret, for the token endpoint alone.",
                },
                "token": {
                    "type": "oauth2",
                    "description": "A short-lived access token.",
                    "flows": {
                        "clientCredentials": {
                            "tokenUrl": tokens.TOKEN_PATH,
                            "scopes": {scope.value: says for scope, says in SCOPES.items()},
                        }
                    },
                },
            },
        },
    }


def _operation(operation: Operation) -> Json:
    told: Json = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "security": [{"key": []}, {"token": [operation.scope.value]}],
        "parameters": [*_path_parameters(operation), *_query(operation), *_headers(operation)],
        "responses": _answers(operation),
    }
    if operation.body is not None:
        told["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _schema(operation.body)}},
        }
    return told


def _path_parameters(operation: Operation) -> list[Json]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": PATH_NAMES[name][1],
            "schema": {"type": "string", "pattern": PATH_NAMES[name][0]},
        }
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]


def _query(operation: Operation) -> list[Json]:
    if operation.query is None:
        return []
    (_, components) = msgspec.json.schema_components(
        [operation.query], ref_template=_REF + "{name}"
    )
    whole = components[operation.query.__name__]
    shown = []
    for name, schema in whole["properties"].items():
        # A parameter that may be left out is never sent as null.
        kinds = [kind for kind in schema.get("anyOf", []) if kind.get("type") != "null"]
        plain = {**schema, **kinds[0]} if kinds else dict(schema)
        plain.pop("anyOf", None)
        says = plain.pop("description", "")
        if plain.get("default") in (None, ""):
            plain.pop("default", None)
        required = name in whole["required"]
        shown.append(
            {
                "name": name, "in": "query", "required": required, "description": says,
                "schema": plain,
            }
        )  # fmt: skip
    return shown


def _headers(operation: Operation) -> list[Json]:
    return [
        {
            "name": header.name,
            "in": "header",
            "required": header.required,
            "description": header.says,
            "schema": {"type": "string", "pattern": f"^(?:{header.pattern})$"},
        }
        for header in operation.headers
    ]


def _answers(operation: Operation) -> Json:
    told: Json = {}
    for status, kind in operation.answers.items():
        answer: Json = {"description": HTTPStatus(status).phrase, "headers": _LIMITS}
        if kind is not None:
            answer["content"] = {"application/json": {"schema": _schema(kind)}}
        told[str(status)] = answer
    return told | _refusals(problems.possible(operation))


def _refusals(kinds: Sequence[type[VendingError]]) -> Json:
    """Return the problems of an operation by status; those that any may have are shared."""
    shared = _shared()
    return {
        status: {"$ref": f"#/components/responses/Refused{status}"}
        if told == shared.get(status)
        else told
        for status, told in _by_status(kinds).items()
    }


@functools.cache
def _shared() -> Json:
    return _by_status(problems.ALWAYS)


def _by_status(kinds: Sequence[type[VendingError]]) -> Json:
    """Return problems by status, each with the list of its codes."""
    by_status: dict[int, list[type[VendingError]]] = {}
    for kind in kinds:
        by_status.setdefault(int(shape_of(kind).status), []).append(kind)
    return {
        str(status): {
            "description": "; ".join(f"`{kind.code}`: {kind.sentence()}" for kind in same),
            "content": {
                "application/problem+json": {
                    "schema": {
                        "allOf": [
                            _schema(Problem),
                            {
                                "type": "object",
                                "properties": {
                                    "status": {"const": status},
                                    "code": {"enum": sorted(kind.code for kind in same)},
                                },
                            },
                        ]
                    }
                }
            },
        }
        for status, same in sorted(by_status.items())
    }


def _token() -> Json:
    """Return the token endpoint, which speaks OAuth's own language."""
    by_status: dict[int, list[str]] = {}
    for kind in tokens.ERRORS:
        by_status.setdefault(int(tokens.status_of(kind)), []).append(
            f"`{kind.code}`: {kind.sentence()}"
        )
    return {
        "operationId": "fetchToken",
        "tags": ["who"],
        "summary": "Fetch an access token by client credentials (RFC 6749, 4.4).",
        "security": [{"client": []}, {}],
        "requestBody": {
            "required": True,
            "content": {
                tokens.FORM: {
                    "schema": {
                        "type": "object",
                        "properties": _FORM_MEMBERS,
                        "required": ["grant_type"],
                    }
                }
            },
        },
        "responses": {
            "200": {
                "description": "OK",
                "content": {"application/json": {"schema": _schema(Token)}},
            },
            **{
                str(status): {
                    "description": "; ".join(same),
                    "content": {"application/json": {"schema": _schema(TokenRefusal)}},
                }
                for status, same in sorted(by_status.items())
            },
        },
    }


_LIMITS: Final = {
    "RateLimit-Policy": {
        "description": "The vendor's quotas: how many requests (q) in how many seconds (w).",
        "schema": {"type": "string"},
    },
    "RateLimit": {
        "description": "What remains of each (r), and in how many seconds it is whole again (t).",
        "schema": {"type": "string"},
    },
}


def _schemas() -> Json:
    kinds: list[type] = [Problem, Token, TokenRefusal]
    for operation in OPERATIONS:
        kinds += [kind for kind in (operation.body, *operation.answers.values()) if kind]
    (_, components) = msgspec.json.schema_components(
        list(dict.fromkeys(kinds)), ref_template=_REF + "{name}"
    )
    return dict(sorted(components.items()))


def _schema(kind: type[msgspec.Struct]) -> Json:
    return {"$ref": _REF + kind.__name__}
