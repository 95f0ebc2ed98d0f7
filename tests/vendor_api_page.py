"""Writes the page of the vendors' API: one HTML file that needs nothing else, for reading offline.

It is made of the description's own document, so it says what is served.
"""

import json
from html import escape
from typing import Any

from tests import errors_page
from vending.api.v1 import description, problems, tokens
from vending.api.v1.receipts import METER
from vending.api.v1.table import OPERATIONS
from vending.errors import VendingError

Json = dict[str, Any]

EXAMPLES: dict[str, Json] = {
    "makeQuote": {"meter": METER, "amount_minor": 50_000},
    "sell": {"reference": "till-7:0001", "meter": METER, "amount_minor": 50_000},
}
"""Bodies of which a schema cannot say what belongs together; a test asks by them."""

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Stima vendor API</title>
<style>
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --get: #2a7; --post: #27c;
  --patch: #a60; --delete: #c33; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; display: grid;
  grid-template-columns: minmax(14rem, 20rem) minmax(0, 60rem); gap: 2rem; }
nav { position: sticky; top: 0; align-self: start; max-height: 100vh; overflow: auto;
  padding: 1rem; border-right: 1px solid var(--line); font-size: .9rem; }
nav ul { list-style: none; margin: 0 0 1rem; padding: 0; }
nav li { display: flex; gap: .4rem; } nav code { overflow-wrap: anywhere; }
main { padding: 1rem; }
section { border-top: 1px solid var(--line); padding: 1rem 0; }
code, pre { font: .9em/1.45 ui-monospace, monospace; }
pre { background: var(--soft); padding: .8rem; overflow: auto; border-radius: .4rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0;
  border-bottom: 1px solid var(--line); }
.verb { display: inline-block; flex: none; min-width: 4.4em;
  font: 700 .8em ui-monospace, monospace; }
.GET { color: var(--get); } .POST { color: var(--post); } .PATCH { color: var(--patch); }
.DELETE { color: var(--delete); } a { color: inherit; } .said { opacity: .75; }
@media (max-width: 50rem) { body { display: block; } nav { position: static; max-height: none; } }
</style>
</head>
"""

FIRST = """<h2 id="start">Start</h2>
<p>A small till sends its API key. A machine that keeps a secret well fetches an access token, which
lasts minutes, and sends that. Either goes into the same header:</p>
<pre>URL=http://127.0.0.1:8080
KEY=stima_test_...
curl -H "Authorization: Bearer $KEY" "$URL/v1/meters/01000000008"</pre>
<p>A key that begins with <code>stima_test_</code> sells in the sandbox, where there is a meter for
everything that can happen and no money (docs/reference/sandbox.md); one that begins with
<code>stima_live_</code> sells. The way from nothing to a first token is docs/operating/sell.md.</p>
<pre>curl -u "$CLIENT:$SECRET" -d grant_type=client_credentials $URL/oauth/token</pre>
<p>A client may also sign (private_key_jwt): send <code>client_assertion_type</code> and
<code>client_assertion</code> in place of the secret.</p>
<h3>Refusals</h3>
<p>Every refusal is <code>application/problem+json</code>. <code>code</code> is stable.
<code>title</code> says what happened, <code>advice</code> what to do.
<code>retry</code> is <b>never</b> (change something first), <b>same-reference</b> (ask again by the
same reference: that settles what became of it) or <b>after</b> (nothing happened; wait
<code>retry_after_seconds</code>). <code>money_state</code> is <b>not_taken</b>, <b>held</b>,
<b>taken</b> or <b>returned</b>. <code>trace_id</code> finds our log line.</p>
<h3>Quotas</h3>
<p>Every answer has <code>RateLimit-Policy</code> (each quota <code>q</code> in a window of
<code>w</code> seconds) and <code>RateLimit</code> (what remains, <code>r</code>, and in how many
seconds it is whole again, <code>t</code>). 429 is your quota, 503 is our overload; both say when to
come back.</p>
<h3>Lists</h3>
<p>A list comes in pages: send <code>next</code> back as <code>cursor</code>. A cursor neither skips
nor repeats a row, however many are added meanwhile.</p>
"""


def page() -> str:
    """Return docs/reference/vendor-api.html."""
    document = description.document()
    parts = [HEAD, "<body>\n", _navigation(document), "<main>\n<h1>Stima vendor API</h1>\n"]
    parts.append(f"<p>{_prose(document['info']['description'])}</p>\n{FIRST}")
    for tag in document["tags"]:
        parts.append(f'<h2 id="{tag["name"]}">{escape(tag["description"])}</h2>\n')
        for path, methods in document["paths"].items():
            for method, told in methods.items():
                if tag["name"] in told["tags"]:
                    parts.append(_operation(document, method.upper(), path, told))
    parts.append(_codes())
    return "".join([*parts, "</main>\n</body>\n</html>\n"])


def _navigation(document: Json) -> str:
    parts = ['<nav>\n<p><a href="#start">Start</a> · <a href="#codes">Codes</a></p>\n']
    for tag in document["tags"]:
        parts.append(f'<p><a href="#{tag["name"]}">{tag["name"]}</a></p>\n<ul>\n')
        for path, methods in document["paths"].items():
            parts += [
                f'<li>{_verb(method.upper())}<a href="#{told["operationId"]}">'
                f"<code>{escape(path)}</code></a></li>\n"
                for method, told in methods.items()
                if tag["name"] in told["tags"]
            ]
        parts.append("</ul>\n")
    return "".join([*parts, "</nav>\n"])


def _operation(document: Json, method: str, path: str, told: Json) -> str:
    name, summary = told["operationId"], _prose(told["summary"])
    heading = f"<h3>{_verb(method)} <code>{escape(path)}</code></h3>"
    parts = [f'<section id="{name}">\n{heading}\n<p>{summary}</p>\n']
    scopes = [scope for way in told["security"] for scope in way.get("token", [])]
    if scopes:
        parts.append(f"<p class=said>Scope <code>{scopes[0]}</code></p>\n")
    rows = [
        (one["name"], one["in"], one["schema"], one["description"], one["required"])
        for one in told.get("parameters", [])
    ]
    parts.append(_table(document, rows))
    for media, content in told.get("requestBody", {}).get("content", {}).items():
        schema = _resolved(document, content["schema"])
        parts.append(f"<p>Body <code>{media}</code></p>\n{_members(document, schema)}")
        if media == "application/json":
            body = EXAMPLES.get(name) or _example(document, schema)
            parts.append(_curl(method, path, body))
    if "requestBody" not in told:
        parts.append(_curl(method, path, None))
    parts += _answers(document, told["responses"])
    parts.append(_given(name))
    return "".join([*parts, "</section>\n"])


def _answers(document: Json, responses: Json) -> list[str]:
    """Return what an operation answers; statuses with the same body are told together."""
    by_body: dict[str, list[str]] = {}
    for status, answer in responses.items():
        if status < "300":
            content = answer.get("content", {}).get("application/json", {})
            by_body.setdefault(content.get("schema", {}).get("$ref", ""), []).append(status)
    return [
        f"<p>Answer <b>{' or '.join(statuses)}</b></p>\n"
        + (_members(document, _resolved(document, {"$ref": ref})) if ref else "")
        for ref, statuses in by_body.items()
    ]


def _given(name: str) -> str:
    """Say which codes an operation has of its own; the others any operation may give."""
    operations = {one.name: one for one in OPERATIONS}
    if name not in operations:
        kinds = list(tokens.ERRORS)
    else:
        possible = problems.possible(operations[name])
        kinds = [kind for kind in possible if kind not in problems.ALWAYS]
    if not kinds:
        return ""
    links = ", ".join(f'<a href="#{kind.code}"><code>{kind.code}</code></a>' for kind in kinds)
    return (
        f"<p class=said>Codes of its own: {links}. "
        '<a href="#codes">Any operation</a> may also refuse the key, the quota or the body.</p>\n'
    )


def _codes() -> str:
    kinds = {kind.code: kind for one in OPERATIONS for kind in problems.possible(one)}
    kinds |= {kind.code: kind for kind in tokens.ERRORS}
    rows = "".join(_code(kinds[code]) for code in sorted(kinds))
    return (
        '<section id="codes">\n<h2>Codes</h2>\n<table>\n<tr><th>code<th>status<th>retry'
        f"<th>money_state<th>what happened, what to do</tr>\n{rows}</table>\n</section>\n"
    )


def _code(kind: type[VendingError]) -> str:
    shape = problems.shape_of(kind)
    says = _prose(" ".join(filter(None, (kind.sentence(), errors_page.advice(kind)))))
    return (
        f'<tr id="{kind.code}"><td><code>{kind.code}</code><td>{int(shape.status)}'
        f"<td>{shape.retry.value}<td>{shape.money.value}<td>{says}</tr>\n"
    )


def _members(document: Json, schema: Json) -> str:
    required = schema.get("required", [])
    rows = [
        (name, "", member, member.get("description", ""), name in required)
        for name, member in schema.get("properties", {}).items()
    ]
    inner = [
        f"<p>Each of <code>{name}</code></p>\n{_members(document, element)}"
        for name, member in schema.get("properties", {}).items()
        if "properties" in (element := _resolved(document, member.get("items", {})))
    ]
    return "".join([_table(document, rows), *inner])


def _table(document: Json, rows: list[tuple[str, str, Json, str, bool]]) -> str:
    if not rows:
        return ""
    told = "".join(
        f"<tr><td><code>{escape(name)}</code>{'' if required else ' <i>optional</i>'}"
        f"<td>{escape(' '.join(filter(None, (place, _kind(document, schema)))))}"
        f"<td>{_prose(says)}</tr>\n"
        for name, place, schema, says, required in rows
    )
    return f"<table>\n{told}</table>\n"


def _kind(document: Json, schema: Json) -> str:
    """Say in a few words what a value may be."""
    schema = _resolved(document, schema)
    if "anyOf" in schema:
        return " or ".join(_kind(document, one) for one in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_kind(document, schema.get('items', {}))}"
    told = str(schema.get("format", schema.get("title", schema.get("type", "anything"))))
    bounds = [
        f"{word} {schema[bound]}"
        for word, bound in (("≥", "minimum"), ("≤", "maximum"), ("length ≤", "maxLength"))
        if bound in schema
    ]
    return ", ".join([told, *bounds])


def _example(document: Json, schema: Json) -> object:
    """Return a value that fits: what is required, by its own example or a plain one."""
    schema = _resolved(document, schema)
    if "examples" in schema:
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        wanted = schema.get("required") or list(properties)[:1]
        return {name: _example(document, properties[name]) for name in wanted}
    plain = {"integer": 1, "boolean": True, "array": []}
    if schema.get("format") == "date-time":
        return "2026-11-22T08:00:00Z"
    return plain.get(str(schema.get("type")), "text")


def _curl(method: str, path: str, body: object) -> str:
    asked = "" if method == "GET" else f" -X {method}"
    text = f'curl{asked} -H "Authorization: Bearer $KEY" "$URL{path}"'.replace("{meter}", METER)
    if body is not None:
        text = _sending(method, path, body)
    return f"<pre>{escape(text, quote=False)}</pre>\n"


def _sending(method: str, path: str, body: object) -> str:
    return (
        f'curl -X {method} -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \\\n'
        f"     -d '{json.dumps(body)}' \"$URL{path}\""
    )


def _resolved(document: Json, schema: Json) -> Json:
    if "$ref" in schema:
        found: Json = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        return found
    return schema


def _verb(method: str) -> str:
    return f'<span class="verb {method}">{method}</span>'


def _prose(text: str) -> str:
    """Return prose with what stands between back-ticks as code."""
    pieces = escape(text, quote=False).split("`")
    return "".join(
        f"<code>{piece}</code>" if place % 2 else piece for place, piece in enumerate(pieces)
    )
