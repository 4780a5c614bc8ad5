from __future__ import annotations

import os

import pytest

from swath.spec.loading.load import parse
from tests.spec.samples import CANARY, find, flood, mistakes, only, read


def test_references_are_resolved_in_text() -> None:
    loaded = read("pipeline: flood\ntext: a-${env:A}-${env:B}", env={"A": "x", "B": "${env:A}"})
    assert loaded.spec.text == "a-x-${env:A}"  # type: ignore[attr-defined]
    assert set(loaded.secrets) == {"x", "${env:A}"}
    assert "${env:A}" in loaded.text
    assert flood("text: $${env:A}", env={"A": "x"}).text == "${env:A}"
    assert flood("", "text=${env:A}", env={"A": "x"}).text == "x"
    assert flood("bands: ['${env:A}']", env={"A": "7"}).bands == ("7",)


def test_a_variable_that_is_not_set_is_named() -> None:
    assert only("text: ${env:NOPE}") == "f.yaml:2:7: text: the environment variable NOPE is not set"
    assert only("count: ${env:NOPE}") == "f.yaml:2:8: count: the environment variable NOPE is not set"
    assert "is written ${env:NAME}" in only("text: ${env:not a name}")
    assert "is written ${env:NAME}" in only("text: ${env:A")


def test_a_reference_can_only_stand_for_text() -> None:
    for text, what in (("count", "a whole number"), ("threshold", "a number"), ("flag", "true or false")):
        assert only(f"{text}: ${{env:N}}", env={"N": "7"}).endswith(
            f"{text}: expected {what}; ${{env:N}} is allowed only where text is expected"
        )


@pytest.mark.parametrize(
    "text",
    [
        "pipeline: ${env:S}",
        "pipeline: flood\ncount: ${env:S}",
        "pipeline: flood\nname: a b ${env:S}",
        "pipeline: flood\nhow: ${env:S}",
        "pipeline: flood\non_error: ${env:S}",
        "pipeline: flood\ncluster: ${env:S}",
        "pipeline: flood\ncluster: {kind: '${env:S}'}",
        "pipeline: flood\ncluster: {kind: address, url: '${env:S}'}",
        "pipeline: flood\noutput: ../${env:S}",
        "pipeline: flood\noutput: out/${env:S}/../../..",
        "pipeline: flood\nsteps: '${env:S}'",
        "pipeline: map\narea: ${env:S}",
        "pipeline: map\narea: .//${env:S}",
        "pipeline: map\narea: {path: '${env:S}'}",
        "pipeline: map\narea: {path: /, layer: '${env:S}'}",
        "pipeline: map\narea: POLYGON (( ${env:S}",
        "pipeline: map\narea: {bbox: [0, 0, 1, 1], crs: '${env:S}'}",
        "pipeline: map\narea: {type: Polygon, coordinates: ['${env:S}']}",
        "pipeline: map\nmodel: ${env:S}",
        "pipeline: map\nmodel: {path: '${env:S}', contract: 'a/${env:S}'}",
        "pipeline: map\nimagery: {source: files, paths: ['${env:S}*']}",
        "pipeline: map\nimagery: {source: '${env:S}'}",
        "pipeline: map\nimagery: {source: stac, catalog: '${env:S}'}",
    ],
)
@pytest.mark.parametrize("secret", [CANARY, f"x/../{CANARY}", f"~/{CANARY}/", f"//{CANARY}", f"é'{CANARY}\"\n"])
def test_what_the_environment_gave_is_in_no_message(text: str, secret: str) -> None:
    assert CANARY not in "\n".join(mistakes(text, env={"S": secret}))


def test_the_process_s_own_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "SWATH_TEST_TEXT", "here")
    loaded = parse("pipeline: flood\ntext: ${env:SWATH_TEST_TEXT}", "f.yaml", find=find)
    assert loaded.spec.text == "here"  # type: ignore[attr-defined]
