"""Calls of any of Google's APIs: sign-in, one connection for each call, and errors in swath's classes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from swath.cluster.providers.gcp.errors import LOGIN, error_of
from swath.errors import CredentialsError, InfrastructureError, MissingExtra

ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_{service}"
"""Environment variable with the address of another server of an API, as the gcloud command reads it."""
SCOPE = "https://www.googleapis.com/auth/cloud-platform"

Response: TypeAlias = dict[str, Any]
Request: TypeAlias = Callable[[Any], Any]
"""A function from a client of an API to one request."""


@dataclass(frozen=True)
class GoogleLimits:
    """Timeout and retries of one call."""

    timeout_s: float = 60
    retries: int = 2
    """After no response, or one with status 429 or 5xx."""


class GoogleApi:
    """One API of Google's, for one project, from any thread. Raises CredentialsError, GceError and InfrastructureError.

    name: of messages, such as Compute Engine.
    """

    def __init__(
        self, project: str, service: str, version: str, name: str, limits: GoogleLimits = GoogleLimits()
    ) -> None:
        try:
            import google.auth
            import google_auth_httplib2
            import googleapiclient.discovery
            import httplib2
        except ImportError as error:
            raise MissingExtra("google-api-python-client", "gcp", "Google Cloud") from error
        self.project = project
        self._service_name, self._version, self._name = service, version, name
        self._limits = limits
        self._auth, self._authorized = google.auth, google_auth_httplib2.AuthorizedHttp
        self._build, self._http = googleapiclient.discovery.build, httplib2.Http

    @property
    def account(self) -> str:
        """The service account of the credentials; empty for those of a person."""
        return str(getattr(self._credentials, "service_account_email", ""))

    @cached_property
    def service(self) -> Any:
        """The client of the API."""
        endpoint = os.environ.get(self._endpoint)
        return self._build(
            self._service_name,
            self._version,
            credentials=self._credentials,
            client_options={"api_endpoint": endpoint} if endpoint else None,
            static_discovery=True,  # the description of the API is part of the package: no download
        )

    def call(self, request: Request) -> Response:
        """The response to a request; empty for one without content."""
        from googleapiclient.errors import HttpError
        from httplib2 import HttpLib2Error

        connection = self._http(timeout=self._limits.timeout_s)  # httplib2 is not thread-safe
        try:
            http = self._authorized(self._credentials, http=connection)
            response: Response = request(self.service).execute(http=http, num_retries=self._limits.retries)
        except HttpError as error:
            raise error_of(self.project, error.resp.status, error.content, self._name) from error
        except self._auth.exceptions.TransportError as error:
            raise InfrastructureError(f"Google's sign-in does not answer: {error}") from error
        except self._auth.exceptions.GoogleAuthError as error:
            raise CredentialsError(f"Google Cloud did not take the credentials: {error}", remedy=LOGIN) from error
        except (HttpLib2Error, OSError) as error:
            raise InfrastructureError(
                f"{self._name} does not answer: {type(error).__name__}: {error}",
                remedy=f"check the network, and {self._endpoint} where it is set",
            ) from error
        finally:
            connection.close()
        return response

    @property
    def _endpoint(self) -> str:
        return ENDPOINT.format(service=self._service_name.upper())

    @cached_property
    def _credentials(self) -> Any:
        try:
            return self._auth.default(scopes=[SCOPE])[0]
        except self._auth.exceptions.DefaultCredentialsError as error:
            raise CredentialsError("no credentials for Google Cloud were found", remedy=LOGIN) from error
