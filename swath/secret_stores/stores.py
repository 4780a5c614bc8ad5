"""Takes the values of secrets from their stores, with the rights of the machine that the run is on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from swath.errors import CredentialsError, SwathError, UsageError
from swath.secret_stores.reference import AwsSecret, EnvSecret, FileSecret, GcpSecret, KubernetesSecret, SecretReference

MOST_BYTES = 64 * 1024


def taken(references: Mapping[str, SecretReference], project: str, env: Mapping[str, str]) -> dict[str, str]:
    """The secrets of a project's runs by name. Raises SwathError with the name of the first that cannot be had, and never a value."""
    found: dict[str, str] = {}
    for name, reference in references.items():
        if reference.projects is not None and project not in reference.projects:
            continue
        try:
            value = _value(reference, env)
        except SwathError as error:
            raise type(error)(f"the secret {name}: {error.message}", remedy=error.remedy) from None
        if "\0" in value or len(value.encode()) > MOST_BYTES:
            raise UsageError(f"the secret {name} is too large for an environment variable, or has a NUL in it")
        found[name] = value
    return found


def _value(reference: SecretReference, env: Mapping[str, str]) -> str:
    if isinstance(reference, EnvSecret):
        if reference.env not in env:
            raise CredentialsError(
                f"there is no variable {reference.env}", remedy="set it where the agent, or the job, is started"
            )
        return env[reference.env]
    if isinstance(reference, FileSecret):
        return _of_file(Path(reference.file))
    if isinstance(reference, GcpSecret):
        from swath.secret_stores.google import secret_version

        return secret_version(f"{reference.gcp}/versions/{reference.version}")
    if isinstance(reference, KubernetesSecret):
        from swath.secret_stores.kubernetes import secret_value

        return secret_value(reference.kubernetes, reference.key)
    from swath.secret_stores import aws

    if isinstance(reference, AwsSecret):
        return aws.secret(reference.aws, reference.field)
    return aws.parameter(reference.ssm)


def _of_file(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(MOST_BYTES + 1)
        return data.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not UTF-8") from None
    except OSError as error:
        raise CredentialsError(f"{file} cannot be read: {error.strerror}") from None
