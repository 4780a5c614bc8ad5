"""AWS Secrets Manager, and parameters of the AWS Systems Manager."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from swath.errors import CredentialsError, InfrastructureError, MissingExtra, UsageError

TIMEOUT_S = 20


def secret(name: str, field: str | None) -> str:
    """The value of a secret, or of a field of one that is JSON. Raises SwathError."""
    value = _asked("secretsmanager", name, lambda client: client.get_secret_value(SecretId=name)["SecretString"])
    if field is None:
        return value
    try:
        found = json.loads(value)[field]
    except (ValueError, KeyError, TypeError, IndexError):
        raise UsageError(f"{name} is no JSON with a field {field!r}") from None
    return found if isinstance(found, str) else json.dumps(found)


def parameter(name: str) -> str:
    """The value of a parameter. Raises SwathError."""
    return _asked(
        "ssm", name, lambda client: client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
    )


def _asked(service: str, name: str, ask: Callable[[Any], Any]) -> str:
    try:
        import botocore.session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
    except ImportError as error:
        raise MissingExtra("botocore", "aws", "A secret of AWS") from error
    region = {"region_name": name.split(":")[3]} if name.startswith("arn:") and name.count(":") > 4 else {}
    limits = Config(
        connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S, retries={"mode": "standard", "total_max_attempts": 3}
    )
    try:
        return str(ask(botocore.session.get_session().create_client(service, config=limits, **region)))
    except ClientError as error:
        code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        text = f"{name}: AWS says {code}"
        if "AccessDenied" in code or "UnrecognizedClient" in code or "ExpiredToken" in code:
            raise CredentialsError(text, remedy=f"the run's role needs to read it in {service}") from None
        raise (InfrastructureError if status >= 500 or "Throttl" in code else UsageError)(text) from None
    except (NoCredentialsError, PartialCredentialsError):
        raise CredentialsError(f"{name}: this machine has no credentials for AWS") from None
    except KeyError:
        raise UsageError(f"{name} is no text") from None
    except BotoCoreError as error:
        raise InfrastructureError(f"{name}: AWS does not answer: {type(error).__name__}: {error}") from None
