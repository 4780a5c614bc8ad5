"""Triggers of a swath.yaml: read with the line and column of every mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from swath.errors import SpecError
from swath.spec.fields.paths import ValidationContext
from swath.spec.project_root import FILE
from swath.spec.spec_model import SpecModel, mistake
from swath.spec.validation.validate import validate
from swath.spec.yaml.document import Document, parse, read
from swath.triggers.trigger import AfterTrigger, Trigger

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}")
_REFERENCE = re.compile(r"(?<!\$)\$\{env:")


class TriggersSection(SpecModel):
    """The triggers of swath.yaml."""

    triggers: dict[str, Trigger] = Field(default_factory=dict)

    @field_validator("triggers")
    @classmethod
    def _check(cls, triggers: dict[str, Any]) -> dict[str, Any]:
        for name, trigger in triggers.items():
            if not _NAME.fullmatch(name):
                raise mistake("a name of a trigger has letters, digits, . _ and -", at=(name,))
            if isinstance(trigger, AfterTrigger):
                _check_chain(name, triggers)
        return triggers


def _check_chain(name: str, triggers: dict[str, Any]) -> None:
    seen, at = {name}, triggers[name]
    while isinstance(at, AfterTrigger):
        if at.after not in triggers:
            raise mistake("there is no trigger {after}", at=(name, "after"), after=at.after)
        if at.after in seen:
            raise mistake("these triggers follow each other in a circle", at=(name, "after"))
        seen.add(at.after)
        at = triggers[at.after]


@dataclass(frozen=True)
class ProjectTriggers:
    """The triggers of a project."""

    root: Path
    """The project's folder."""
    triggers: Mapping[str, Trigger] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Values from the environment, and their references."""


def read_triggers(root: Path, env: Mapping[str, str] | None = None) -> ProjectTriggers:
    """The triggers of the swath.yaml in a folder. Raises SpecError with every mistake."""
    file = str(root / FILE)
    document = parse(read(file), file)
    data = document.data if isinstance(document.data, dict) else {}
    document = replace(document, data={"triggers": data.get("triggers") or {}})
    _refuse_secrets(document)
    found = validate(TriggersSection, document, ValidationContext(root), env)
    return ProjectTriggers(root, found.unwrap().triggers, found.secrets)


def _refuse_secrets(document: Document) -> None:
    """Values of `set:` are stored and shown: a reference to the environment in them is resolved by the run, not here."""
    triggers = document.data["triggers"]
    mistakes = [
        document.marks[document.locate(path)].mistake(
            path, "the value would be stored: write ${env:NAME} in the spec, or $${env:NAME} here"
        )
        for name, trigger in (triggers.items() if isinstance(triggers, dict) else ())
        if isinstance(trigger, dict)
        for path, text in _texts(trigger.get("set"), ("triggers", name, "set"))
        if _REFERENCE.search(text)
    ]
    if mistakes:
        raise SpecError(mistakes)


def _texts(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, (*path, index))
