"""The agent's file: its launchers, and the secrets of runs. Every mistake is told with its line and column."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, TypeAdapter

from swath.agent.attempt_folder import AttemptFolder
from swath.errors import SpecError
from swath.launchers.settings import LauncherSettings
from swath.project.project import SECRETS
from swath.protocol.messages import Name
from swath.secret_stores.reference import SecretName, SecretReference
from swath.secret_stores.stores import taken
from swath.spec.fields.paths import ValidationContext
from swath.spec.spec_model import SpecModel
from swath.spec.validation.validate import validate
from swath.spec.yaml.document import parse, read

REFERENCES: TypeAdapter[dict[str, SecretReference]] = TypeAdapter(dict[str, SecretReference])
"""Reads secrets' references from JSON and writes them."""


class AgentFile(SpecModel):
    """The fields of the file."""

    launchers: dict[Name, LauncherSettings] = Field(default_factory=dict)
    """What `pipe submit --runs-on NAME` may name."""
    secrets: dict[SecretName, SecretReference] = Field(default_factory=dict)
    """Environment variables of runs, and where their values are."""


def read_agent_file(file: Path) -> AgentFile:
    """An agent's file. Raises SpecError with every mistake, UsageError when it cannot be read."""
    document = parse(read(str(file)), str(file))
    found = validate(AgentFile, document, ValidationContext(file.absolute().parent))
    if found.value is None:
        raise SpecError(list(found.mistakes))
    return found.value


def run_secrets(folder: AttemptFolder, env: Mapping[str, str]) -> dict[str, str]:
    """The secrets of an attempt's run as environment variables, and their names. Raises SwathError. No file gets their values."""
    references = REFERENCES.validate_json(folder.settings().secrets)
    found = taken(references, folder.work.project, env)
    return {**found, SECRETS: ",".join(found)} if found else {}
