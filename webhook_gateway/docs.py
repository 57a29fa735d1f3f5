"""/docs: the OpenAPI document as one page for people. Self-contained: it loads nothing, so it works offline."""

import json
from typing import Any

from flask import Blueprint, Response, make_response, render_template_string, request

from shared.problem_advice import ADVICE
from webhook_gateway.openapi import document, problem_table
from webhook_gateway.openapi_examples import BOOKING

blueprint = Blueprint("docs", __name__)

# The page runs no script and loads nothing, so it may not.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@blueprint.get("/docs")
def docs() -> Response:
    """Return the page."""
    described = document()
    page = render_template_string(
        _PAGE,
        info=described["info"],
        groups=[{**tag, "routes": _routes(described, tag["name"])} for tag in described["tags"]],
        schemas={name: json.dumps(schema, indent=2) for name, schema in described["components"]["schemas"].items()},
        problems=problem_table(),
        advice=ADVICE,
        curl=_curl(request.host_url),
    )
    response = make_response(page)
    response.headers["Content-Security-Policy"] = _POLICY
    return response


def _routes(described: dict[str, Any], tag: str) -> list[dict[str, Any]]:
    return [
        _route(method, path, said, described["components"]["examples"])
        for path, item in described["paths"].items()
        for method, said in item.items()
        if tag in said["tags"]
    ]


def _route(method: str, path: str, said: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    content = said.get("requestBody", {}).get("content", {}).get("application/json", {})
    return {
        "method": method.upper(),
        "path": path,
        "summary": said["summary"],
        "description": said.get("description", ""),
        "needs": [name for scheme in said.get("security", []) for name in scheme],
        "parameters": said.get("parameters", []),
        "takes": _schema_name(content.get("schema", {})),
        "examples": [
            {"summary": shown["summary"], "body": json.dumps(shown["value"], indent=2)}
            for shown in content.get("examples", {}).values()
        ],
        "answers": [_shown_answer(status, answer, known) for status, answer in said["responses"].items()],
    }


def _shown_answer(status: str, answer: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    (media_type, content), *_ = answer.get("content", {"": {}}).items()
    is_refusal = media_type == "application/problem+json"
    names = list(content.get("examples", {}))
    return {
        "status": status,
        "said": answer["description"],
        "problems": names if is_refusal else [],
        "schema": _schema_name(content.get("schema", {})),
        "headers": list(answer.get("headers", {})),
        "examples": []
        if is_refusal
        else [
            {"summary": known[name]["summary"], "body": json.dumps(known[name]["value"], indent=2)} for name in names
        ],
    }


def _schema_name(schema: dict[str, Any]) -> str | None:
    return schema["$ref"].rsplit("/", 1)[-1] if "$ref" in schema else None


def _curl(address: str) -> str:
    body = json.dumps({"booking_id": BOOKING})
    lines = (
        f"curl -i {address}v1/cancellations",
        '-H "Authorization: Bearer $CFAR_TOKEN"',
        '-H "Idempotency-Key: order-A-1001"',
        '-H "Content-Type: application/json"',
        f"-d '{body}'",
    )
    return " \\\n  ".join(lines)


_PAGE = """{% macro words(text) %}{% for part in text.split("`") -%}
{% if loop.index is even %}<code>{{ part }}</code>{% else %}{{ part }}{% endif %}{%- endfor %}{% endmacro -%}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ info.title }}</title>
<style>
:root { color-scheme: light dark;
  --ink: light-dark(#1c2330, #e4e8ef); --soft: light-dark(#566072, #9aa5b8); --paper: light-dark(#ffffff, #12161d);
  --panel: light-dark(#f5f7fa, #1a2029); --line: light-dark(#dde2ea, #2b3441); --accent: light-dark(#1d5fd0, #7fb0ff);
  --get: light-dark(#0b6e4f, #5fd3a6); --post: light-dark(#9a4a00, #ffb36b); }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 5rem; max-width: 60rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.9rem; margin: 0 0 .5rem; } h2 { margin: 3rem 0 1rem; font-size: 1.35rem; }
p { margin: .4rem 0; max-width: 46rem; } a { color: var(--accent); } .soft { color: var(--soft); }
code, pre { font: .86rem/1.5 ui-monospace, Consolas, monospace; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: .9rem 1rem;
  overflow-x: auto; }
details { border: 1px solid var(--line); border-radius: 10px; margin: .6rem 0; background: var(--panel); }
summary { cursor: pointer; padding: .7rem 1rem; display: flex; gap: .8rem; flex-wrap: wrap; align-items: baseline; }
summary:focus-visible { outline: 2px solid var(--accent); border-radius: 10px; }
details > div { padding: 0 1rem 1rem; } details pre { background: var(--paper); }
summary.soft { flex-wrap: nowrap; }
summary::before { content: "\\25B8"; color: var(--soft); } details[open] > summary::before { content: "\\25BE"; }
.method { font-weight: 700; min-width: 3.2rem; font-family: ui-monospace, monospace; font-size: .86rem; }
.GET { color: var(--get); } .POST { color: var(--post); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .6rem 0; }
th, td { text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); }
td:first-child code { white-space: nowrap; }
th { color: var(--soft); font-weight: 600; font-size: .85rem; }
</style>
</head>
<body>
<h1>{{ info.title }}</h1>
<p>{{ info.description }}</p>
<p class="soft">The same for machines: <a href="/openapi.json">/openapi.json</a></p>

<h2>Try it</h2>
<pre>{{ curl }}</pre>

<h2>Routes</h2>
{% for group in groups %}
<h3>{{ group.name }}</h3>
<p class="soft">{{ group.description }}.</p>
{% for route in group.routes %}
<details id="{{ route.method }}-{{ route.path }}">
<summary><span class="method {{ route.method }}">{{ route.method }}</span> <code>{{ route.path }}</code>
<span class="soft">{{ route.summary }}</span></summary>
<div>
<p>{{ words(route.description) }}</p>
<p class="soft">{% if "token" in route.needs %}Needs <code>Authorization: Bearer &lt;token&gt;</code>.
{% elif "signature" in route.needs %}Needs the header <code>XClaim-Signature</code>.
{% else %}Needs no token.{% endif %}</p>
{% if route.parameters %}
<div class="scroll"><table><tr><th>Takes</th><th>In</th><th></th></tr>
{% for parameter in route.parameters %}<tr>
<td><code>{{ parameter.name }}</code>{{ "" if parameter.required else " (optional)" }}</td>
<td>{{ parameter.in }}</td><td>{{ words(parameter.description or "") }}
{% if parameter.schema.enum %}<span class="soft">{{ parameter.schema.enum | join(", ") }}</span>{% endif %}</td></tr>
{% endfor %}</table></div>
{% endif %}
{% if route.takes %}<p>Body: <a href="#{{ route.takes }}">{{ route.takes }}</a></p>{% endif %}
{% for example in route.examples %}<details{{ " open" if loop.first else "" }}><summary class="soft">
{{ example.summary }}</summary><div><pre>{{ example.body }}</pre></div></details>
{% endfor %}
<div class="scroll"><table><tr><th>Answers</th><th></th></tr>
{% for answer in route.answers %}<tr><td><code>{{ answer.status }}</code></td><td>
{% for name in answer.problems %}<a href="#{{ name }}">{{ name }}</a>{{ "" if loop.last else ", " }}
{% else %}{{ answer.said }}
{% if answer.schema %}<a href="#{{ answer.schema }}">{{ answer.schema }}</a>{% endif %}{% endfor %}
{% if answer.headers %}<span class="soft">with {{ answer.headers | join(", ") }}</span>{% endif %}</td></tr>
{% endfor %}</table></div>
{% for answer in route.answers %}{% for example in answer.examples %}<details><summary class="soft">
{{ answer.status }}: {{ example.summary }}</summary><div><pre>{{ example.body }}</pre></div></details>
{% endfor %}{% endfor %}
</div>
</details>
{% endfor %}
{% endfor %}

<h2>Problems</h2>
<p>Errors are <code>application/problem+json</code>; <code>type</code> is <code>/problems/</code> and the name below.
A cancellation that is rejected or needs a person shows one in its own <code>problem</code>.</p>
<div class="scroll"><table><tr><th>Name</th><th>Status</th><th>Means</th><th>What to do</th></tr>
{% for problem in problems %}<tr id="{{ problem.slug }}">
<td><code>{{ problem.slug }}</code></td><td>{{ problem.status }}</td>
<td>{{ problem.title }}</td>
<td>{{ words(advice.get(problem.slug, "A cancellation shows it; see `docs/journeys.md`")) }}</td></tr>
{% endfor %}</table></div>

<h2>Shapes</h2>
{% for name, schema in schemas.items() %}
<details id="{{ name }}"><summary><code>{{ name }}</code></summary><div><pre>{{ schema }}</pre></div></details>
{% endfor %}
</body>
</html>
"""
