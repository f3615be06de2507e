"""docs/openapi.yaml by a public validator, which comes from the Python registry."""

import subprocess

import pytest
from languages import PROJECTS, sh
from support import ROOT

VALIDATOR = "openapi-spec-validator==0.9.0"


@pytest.fixture(scope="module")
def validator():
    directory = PROJECTS / "openapi"
    program = directory / "venv/bin/openapi-spec-validator"
    if not program.exists():
        directory.mkdir(parents=True, exist_ok=True)
        sh(f"python3 -m venv venv\nvenv/bin/pip install {VALIDATOR}\n", directory)
    return program


def validate(validator, path):
    return subprocess.run([validator, "--schema", "3.1", path], capture_output=True, text=True)


def test_the_openapi_file_is_valid(validator):
    done = validate(validator, ROOT / "docs/openapi.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_validator_finds_what_is_wrong(validator, tmp_path):
    text = (ROOT / "docs/openapi.yaml").read_text()
    path = tmp_path / "openapi.yaml"
    path.write_text(text.replace("in: path", "in: nowhere"))
    assert validate(validator, path).returncode != 0
