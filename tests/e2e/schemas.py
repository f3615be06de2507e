"""The JSON Schemas of docs/schema and the OpenAPI file, for tests that hold them against a worker."""

import functools
import json

import jsonschema
import yaml

from support import ROOT

DOCS = ROOT / "docs"


def schema(name):
    return json.loads((DOCS / f"schema/{name}.schema.json").read_text())


def validator(name):
    """Of job, result or dead-letter; the schema itself is checked first."""
    text = schema(name)
    jsonschema.Draft202012Validator.check_schema(text)
    return jsonschema.Draft202012Validator(text)


JOB, RESULT, DEAD_LETTER = map(validator, ("job", "result", "dead-letter"))


@functools.cache
def openapi():
    return yaml.safe_load((DOCS / "openapi.yaml").read_text())


@functools.cache
def _resolver():
    """The file's references go to the schemas beside it."""
    resolver = jsonschema.RefResolver((DOCS / "openapi.yaml").as_uri(), openapi())
    for path in (DOCS / "schema").iterdir():
        resolver.store[path.as_uri()] = json.loads(path.read_text())
    return resolver


def openapi_validator(part):
    """Of a schema inside of the OpenAPI file."""
    return jsonschema.Draft202012Validator(part, resolver=_resolver())
