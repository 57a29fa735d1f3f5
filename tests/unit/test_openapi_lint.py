"""The OpenAPI document is valid, and says well what it says: the rules of Spectral's `spectral:oas` that fit, by hand.

Spectral itself needs Node, which a machine with only Python does not have. Left out are the rules for contact and
license, which this document has not.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from shared.idempotency import InvalidKey, read_key
from shared.problem_advice import ADVICE
from webhook_gateway.openapi import document
from webhook_gateway.openapi_parts import KEY_PATTERN
from webhook_gateway.openapi_refusals import examples as refusals

DOCUMENT = document()
COMPONENTS = DOCUMENT["components"]
OPERATIONS = [
    (f"{method.upper()} {path}", said) for path, item in DOCUMENT["paths"].items() for method, said in item.items()
]
every_operation = pytest.mark.parametrize(("label", "said"), OPERATIONS, ids=[label for label, _ in OPERATIONS])


def inside(part: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a part of the document, but none of an example: those are somebody's data."""
    if isinstance(part, dict):
        yield part
        for name, inner in part.items():
            if name not in {"examples", "example", "default", "enum"}:
                yield from inside(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from inside(inner)


def resolved(part: dict[str, Any]) -> Any:
    """Follow a reference, if it is one."""
    found: Any = part
    while isinstance(found, dict) and "$ref" in found:
        place = found["$ref"].removeprefix("#/").split("/")
        found = DOCUMENT
        for name in place:
            found = found[name]
    return found


def complaints(schema: dict[str, Any], value: Any) -> list[str]:
    whole = {**schema, "components": COMPONENTS}  # so that references find what they name
    validator = OAS31Validator(whole, format_checker=OAS31Validator.FORMAT_CHECKER)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def shown() -> dict[str, tuple[dict[str, Any], Any]]:
    """Return (schema, value) of every example of a body, sent or answered, by where it stands first."""
    found: dict[tuple[str, str], tuple[str, dict[str, Any], Any]] = {}
    for label, said in OPERATIONS:
        for place, body in {"takes": said.get("requestBody", {}), **said["responses"]}.items():
            for content in body.get("content", {}).values():
                for name, one in content.get("examples", {}).items():
                    where = f"{label} {place} {name}"
                    found.setdefault((str(content["schema"]), str(one)), (where, content["schema"], resolved(one)))
    return {where: (schema, one["value"]) for where, schema, one in found.values()}


SHOWN = shown()


def test_the_document_is_valid_openapi() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert [str(error) for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [said.get("operationId", "") for _, said in OPERATIONS]

    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", name)] == []


def test_the_documents_own_parts_are_told() -> None:
    names = [tag["name"] for tag in DOCUMENT["tags"]]

    assert all(DOCUMENT["info"][part] for part in ("title", "version", "description"))
    assert all(tag["description"] for tag in DOCUMENT["tags"])
    assert len(set(names)) == len(names)
    assert {tag for _, said in OPERATIONS for tag in said["tags"]} == set(names)
    assert [server["url"] for server in DOCUMENT["servers"]] == ["/"]


@every_operation
def test_an_operation_says_what_it_does_and_who_may(label: str, said: dict[str, Any]) -> None:
    assert len(said["tags"]) == 1
    assert said["summary"]
    assert not said["summary"].endswith(".")
    assert said["description"].endswith(".")
    assert {name for scheme in said["security"] for name in scheme} <= set(COMPONENTS["securitySchemes"])
    assert said["security"] == [{"token": []}] or "/v1/" not in label


@every_operation
def test_an_operation_tells_of_its_parameters(label: str, said: dict[str, Any]) -> None:
    parameters = said.get("parameters", [])
    named = [(parameter["name"], parameter["in"]) for parameter in parameters]

    assert len(set(named)) == len(named)
    assert {name for name, place in named if place == "path"} == set(re.findall(r"{(\w+)}", label))
    assert all("schema" in parameter for parameter in parameters)
    assert not any({"type": "null"} in parameter["schema"].get("anyOf", []) for parameter in parameters)


@every_operation
def test_an_operation_tells_of_its_answers_and_refusals(label: str, said: dict[str, Any]) -> None:
    statuses = set(said["responses"])
    takes_input = bool(said.get("parameters") or said.get("requestBody"))

    assert statuses & {"200", "201", "202"}
    assert all(answer["description"] for answer in said["responses"].values())
    assert not takes_input or any(status.startswith("4") for status in statuses)
    assert said["security"] != [{"token": []}] or statuses >= {"401", "500", "503"}
    assert "requestBody" not in said or label.startswith("POST /webhooks") or statuses >= {"400", "413", "415", "422"}


@every_operation
def test_a_refusal_has_its_headers_and_an_example_of_each_problem(label: str, said: dict[str, Any]) -> None:
    for status, answer in said["responses"].items():
        if status >= "400":
            (content,) = answer["content"].values()
            examples = {name: resolved(one)["value"] for name, one in content["examples"].items()}
            assert {(f"/problems/{name}", int(status)) for name in examples} == {
                (one["type"], one["status"]) for one in examples.values()
            }
            assert answer["description"] == ", ".join(examples)
        headers = answer.get("headers", {})
        assert ("WWW-Authenticate" in headers) is (status == "401"), label
        assert ("Retry-After" in headers) is (status in {"429", "503"}), label


@pytest.mark.parametrize(("schema", "value"), SHOWN.values(), ids=SHOWN)
def test_an_example_is_as_its_schema_says(schema: dict[str, Any], value: Any) -> None:
    assert complaints(schema, value) == []


def test_every_example_in_a_schema_is_as_that_schema_says() -> None:
    wrong = [
        (value, complaint)
        for schema in inside(COMPONENTS["schemas"])
        if isinstance(schema.get("examples"), list)
        for value in schema["examples"]
        for complaint in complaints(schema, value)
    ]

    assert wrong == []


def test_every_reference_leads_somewhere_and_has_no_siblings_that_would_be_lost() -> None:
    references = [part for part in inside(DOCUMENT) if "$ref" in part]

    assert all(resolved(part) for part in references)
    assert [part for part in references if set(part) - {"$ref", "description", "default"}] == []


def test_every_component_is_used() -> None:
    text = str(DOCUMENT)
    unused = [
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "headers", "examples", "links")
        for name in COMPONENTS[kind]
        if f"'#/components/{kind}/{name}'" not in text
    ]

    assert unused == []


def test_every_link_leads_to_an_operation_that_takes_what_it_hands_on() -> None:
    by_name = {said["operationId"]: said for _, said in OPERATIONS}

    for name, link in COMPONENTS["links"].items():
        taken = {parameter["name"] for parameter in by_name[link["operationId"]]["parameters"]}
        assert set(link["parameters"]) <= taken, name
    for _, said in OPERATIONS:
        for answer in said["responses"].values():
            for link in answer.get("links", {}).values():
                (content,) = answer["content"].values()
                members = resolved(content["schema"])["properties"]
                for place in resolved(link)["parameters"].values():
                    assert place.removeprefix("$response.body#/").split("/")[0] in members


def test_there_is_advice_and_an_example_for_every_refusal_that_is_told_of() -> None:
    told = {name for _, said in OPERATIONS for status, answer in said["responses"].items() if status >= "400"
            for name in answer["description"].split(", ")}  # fmt: skip

    assert told == set(refusals())
    assert told | {"method-not-allowed"} == set(ADVICE)


@given(st.one_of(st.from_regex(KEY_PATTERN, fullmatch=True), st.text(st.characters(max_codepoint=0x7F), max_size=300)))
@example('"')
@example('""')
@example('a"b')
@example('"a\\"b"')
@example('"a\\b"')
@example("k" * 256)
@example('"' + "k" * 255 + '"')
@example('"' + "k" * 256 + '"')
def test_the_pattern_of_the_key_is_what_the_door_reads(sent: str) -> None:
    bare = sent.strip(" \t")  # no server keeps the white space around a header
    try:
        is_read = bool(read_key(bare))
    except InvalidKey:
        is_read = False

    assert is_read is bool(re.fullmatch(KEY_PATTERN, bare))
