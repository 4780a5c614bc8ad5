"""Calls of Google Compute Engine in one project."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, partial
from typing import Any

from swath.cluster.providers.gcp.errors import GceError
from swath.cluster.providers.gcp.google_api import GoogleApi, GoogleLimits, Request, Response
from swath.errors import InfrastructureError

SERIAL_BYTES = 16384
"""Of a console that are read. Compute Engine keeps up to 1 MB of each, and takes a negative start for the most recent bytes."""
NOT_FOUND, CONFLICT = 404, 409


class GceApi:
    """Calls of Compute Engine in one project, from any thread. Raises CredentialsError, GceError and InfrastructureError."""

    def __init__(self, project: str, limits: GoogleLimits = GoogleLimits()) -> None:
        self.project = project
        self._google = GoogleApi(project, "compute", "v1", "Compute Engine", limits)

    def insert(self, zone: str, body: Response, request_id: str) -> Response | None:
        """Launch an instance: the operation that does it. None when the instance exists already.

        `request_id` is a UUID: sent twice with the same one, a request launches one instance.
        """
        try:
            return self._call(lambda api: api.insert(project=self.project, zone=zone, body=body, requestId=request_id))
        except GceError as error:
            if error.status == CONFLICT:  # names are unique, so the response to an earlier attempt was lost
                return None
            raise

    def operation(self, zone: str, name: str) -> Response:
        """The state of an operation."""
        return self._call(lambda _: self._operations.get(project=self.project, zone=zone, operation=name))

    def instance(self, zone: str, name: str) -> Response | None:
        """The description of an instance; None when there is none of that name."""
        return self._call_or_none(lambda api: api.get(project=self.project, zone=zone, instance=name))

    def delete(self, zone: str, name: str) -> None:
        """Delete an instance with its disk. No error when it does not exist, or is being deleted."""
        try:
            self._call_or_none(lambda api: api.delete(project=self.project, zone=zone, instance=name))
        except GceError as error:
            if "not ready" not in error.message:  # another operation on it is running
                raise

    def serial_output(self, zone: str, name: str) -> str:
        """The last SERIAL_BYTES of an instance's console output; empty when there is no such instance."""
        response = self._call_or_none(
            lambda api: api.getSerialPortOutput(
                project=self.project, zone=zone, instance=name, start=str(-SERIAL_BYTES)
            )
        )
        return str((response or {}).get("contents", ""))

    def instances_in(self, zone: str, condition: str) -> Iterator[Response]:
        """Descriptions of a zone's instances that match a filter."""
        token: str | None = None
        while True:
            page = self._call(
                lambda api, token=token: api.list(  # type: ignore[misc]
                    project=self.project, zone=zone, filter=condition, pageToken=token
                )
            )
            yield from page.get("items", [])
            token = page.get("nextPageToken")
            if not token:
                return

    def instances(self, condition: str) -> Iterator[tuple[str, Response]]:
        """(zone, description) of all instances of the project that match a filter, in all zones."""
        token: str | None = None
        while True:
            page = self._call(partial(self._page, condition, token))
            for scope, part in page.get("items", {}).items():
                if part.get("warning", {}).get("code") == "UNREACHABLE":  # not the same as empty
                    raise InfrastructureError(f"Compute Engine does not list {scope}: {part['warning'].get('message')}")
                for each in part.get("instances", []):
                    yield scope.rpartition("/")[2], each
            token = page.get("nextPageToken")
            if not token:
                return

    def call(self, request: Request) -> Response:
        """The response to any request, which is made with the client of the whole API."""
        return self._google.call(request)

    def _page(self, condition: str, token: str | None, api: Any) -> Any:
        return api.aggregatedList(project=self.project, filter=condition, pageToken=token)

    # --- one call

    @cached_property
    def _instances(self) -> Any:
        return self._google.service.instances()

    @cached_property
    def _operations(self) -> Any:
        return self._google.service.zoneOperations()

    def _call_or_none(self, request: Request) -> Response | None:
        try:
            return self._call(request)
        except GceError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def _call(self, request: Request) -> Response:
        return self._google.call(lambda _: request(self._instances))
