"""Google Secret Manager."""

from __future__ import annotations

import base64
import binascii
import os

from swath.errors import CredentialsError, InfrastructureError, MissingExtra, UsageError

ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER"
"""Environment variable with the address of another Secret Manager, as the gcloud command reads it."""
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TIMEOUT_S = 30


def secret_version(name: str) -> str:
    """The value of projects/P/secrets/S/versions/V. Raises SwathError."""
    try:
        import google.auth
        import google_auth_httplib2
        import googleapiclient.discovery
        import httplib2
        from googleapiclient.errors import HttpError
    except ImportError as error:
        raise MissingExtra("google-api-python-client", "gcp", "A secret of Google Secret Manager") from error
    endpoint = os.environ.get(ENDPOINT)
    connection = httplib2.Http(timeout=TIMEOUT_S)
    try:
        credentials = google.auth.default(scopes=[SCOPE])[0]
        service = googleapiclient.discovery.build(
            "secretmanager", "v1", credentials=credentials, static_discovery=True,
            client_options={"api_endpoint": endpoint} if endpoint else None,
        )  # fmt: skip
        http = google_auth_httplib2.AuthorizedHttp(credentials, http=connection)
        answer = service.projects().secrets().versions().access(name=name).execute(http=http, num_retries=2)
        return base64.b64decode(answer["payload"]["data"], validate=True).decode()
    except HttpError as error:
        text = f"{name}: {error.reason} (HTTP {error.resp.status})"
        if error.resp.status in (401, 403):
            raise CredentialsError(
                text, remedy="the run's account needs roles/secretmanager.secretAccessor on it"
            ) from None
        raise (InfrastructureError if error.resp.status >= 500 or error.resp.status == 429 else UsageError)(
            text
        ) from None
    except (KeyError, binascii.Error, UnicodeDecodeError) as error:
        raise UsageError(f"{name} is no text: {type(error).__name__}") from None
    except google.auth.exceptions.TransportError as error:
        raise InfrastructureError(f"Google's sign-in does not answer: {error}") from None
    except google.auth.exceptions.GoogleAuthError as error:
        raise CredentialsError(f"Google Cloud did not take this machine's credentials: {error}") from None
    except (httplib2.HttpLib2Error, OSError) as error:
        raise InfrastructureError(f"Google Secret Manager does not answer: {type(error).__name__}") from None
    finally:
        connection.close()
