"""Inputs with random changes, of every kind: each is valid or refused as documented, and does no harm. `make attack` uses more."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.attack.guard import CANARY
from tests.attack.kind import KINDS
from tests.attack.loop import attack
from tests.attack.mutations import changed_bytes, changed_document, scattered_changes

SEED = "20261128"
"""Of the tests: what fails with it is a change of the code. `make attack` looks for inputs that nobody has tried."""
INPUTS = {"specs": 200, "rasters": 200, "stac": 200, "areas": 200, "models": 150, "contracts": 200, "archives": 200}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_inputs_with_random_changes_are_valid_or_refused_and_do_no_harm(tmp_path: Path, kind: str) -> None:
    seed = int(os.environ.get("SWATH_TEST_SEED", SEED))
    report = attack(kind, seed, INPUTS[kind], tmp_path)
    assert report.findings == []
    assert report.inputs == INPUTS[kind]
    assert report.refused > INPUTS[kind] // 4, "the changes hardly touch what is read"


def test_the_same_seed_makes_the_same_changes() -> None:
    document = {"a": [1, {"b": "c"}], "d": "e"}
    for change in (changed_document, scattered_changes):
        assert repr(change(document, random.Random(4))) == repr(change(document, random.Random(4)))
    assert changed_bytes(b"swath" * 20, random.Random(4)) == changed_bytes(b"swath" * 20, random.Random(4))


HARM = {
    "a file outside": ("open({outside!r}, 'w')", "opened"),
    "a folder outside": ("__import__('os').mkdir({outside!r})", "os.mkdir"),
    "a file that is left": ("open('left', 'w').close()", "left left"),
    "a connection": ("__import__('socket').create_connection(('127.0.0.1', 9))", "socket."),
    "a name that is resolved": ("__import__('socket').getaddrinfo('host.invalid', 80)", "socket.getaddrinfo"),
    "a command": ("__import__('os').system('true')", "os.system"),
    "a process": ("__import__('subprocess').run(['true'])", "subprocess.Popen"),
    "its code": (f"__import__({CANARY!r})", f"imported {CANARY}"),
    "a raw error": ("{{}}['no']", "raised KeyError"),
    "an error of another exit code": ("state_error('model.json')", "exit code 6"),
    "an error that does not say where": ("usage_error('it is wrong')", "does not say where"),
    "an error with a Python object": ("usage_error('model.json: ' + repr(KeyError('x')))", "KeyError("),
    "a crash": ("__import__('os').kill(__import__('os').getpid(), 9)", "SIGKILL"),
    "an end": ("__import__('os')._exit(3)", "exit code 3"),
    "memory": ("len(bytes(range(256)) * (6 << 20)) and bytearray(b'x' * (1200 << 20))[0]", "needed"),
}
"""What an input may not do, and how it is reported."""


@pytest.mark.slow
@pytest.mark.parametrize("harm", HARM)
def test_harm_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    code, reported = HARM[harm]
    monkeypatch.setenv("SWATH_ATTACK_HARM", code.format(outside=str(tmp_path / "outside")))
    report = attack("tests.attack.harm:Harm", 1, 1, tmp_path / "inputs")
    assert any(reported in finding for finding in report.findings), report.findings
    assert not (tmp_path / "outside").exists()
