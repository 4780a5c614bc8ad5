"""The agent's file: its launchers, and the secrets of runs. Every mistake is told with its line and column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
RESULTS_KEY = "SWATH_RESULTS_KEY"
"""Stands for `results_key` among the references. No secret can have this name, and no run gets the value."""


class AgentFile(SpecModel):
    """The fields of the file."""

    launchers: dict[Name, LauncherSettings] = Field(default_factory=dict)
    """What `pipe submit --runs-on NAME` may name."""
    secrets: dict[SecretName, SecretReference] = Field(default_factory=dict)
    """Environment variables of runs, and where their values are."""
    results_key: SecretReference | None = None
    """Where the key is that signs results and carried journals of jobs; without it no journal is carried."""

    def references(self) -> dict[str, SecretReference]:
        """All that supervisors take from stores."""
        return {**self.secrets, **({} if self.results_key is None else {RESULTS_KEY: self.results_key})}


def read_agent_file(file: Path) -> AgentFile:
    """An agent's file. Raises SpecError with every mistake, UsageError when it cannot be read."""
    document = parse(read(str(file)), str(file))
    found = validate(AgentFile, document, ValidationContext(file.absolute().parent))
    if found.value is None:
        raise SpecError(list(found.mistakes))
    return found.value


@dataclass(frozen=True)
class RunSecrets:
    """What was taken from the stores."""

    variables: dict[str, str] = field(default_factory=dict, repr=False)
    """Environment variables of the run, with their names in one more."""
    results_key: str = field(default="", repr=False)
    """Of the supervisor; empty where there is none, or none is needed."""


def run_variables(references: Mapping[str, SecretReference], project: str, env: Mapping[str, str]) -> dict[str, str]:
    """The environment variables of a project's runs, with their names in one more; never the key of results. Raises SwathError."""
    found = taken({name: each for name, each in references.items() if name != RESULTS_KEY}, project, env)
    return {**found, SECRETS: ",".join(found)} if found else {}


def run_secrets(folder: AttemptFolder, env: Mapping[str, str], *, key: bool = False) -> RunSecrets:
    """The secrets of an attempt's run. Raises SwathError. No file gets their values. key: take also the key of results."""
    references = REFERENCES.validate_json(folder.settings().secrets)
    own = {name: each for name, each in references.items() if key and name == RESULTS_KEY}
    results_key = taken(own, folder.work.project, env).get(RESULTS_KEY, "")
    return RunSecrets(run_variables(references, folder.work.project, env), results_key)
