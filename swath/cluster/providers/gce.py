"""Compute Engine: its calls, what its refusals mean, and the fleet of a project's machines as it lists them."""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, TypeAlias

from swath.cluster.providers.machine import Fleet, Kind, Machine, tail
from swath.errors import CredentialsError, InfrastructureError, MissingExtra, SwathError

RUN, EXPIRES, ROLE = "swath-run", "swath-expires", "swath-role"
"""Labels of every machine and of its disk."""
ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE"
"""Environment variable with the address of another Compute Engine, as the gcloud command reads it."""
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
CALL_TIMEOUT_S = 60
RETRIES = 2
"""Of a call that Compute Engine did not answer, or answered with 429 or 5xx."""
AT_ONCE = 8
"""Machines that are removed at the same time."""
GONE, EXISTS = 404, 409
LOGIN = "run `gcloud auth application-default login`, or name a key file in GOOGLE_APPLICATION_CREDENTIALS"

Answer: TypeAlias = dict[str, Any]
Ask: TypeAlias = Callable[[Any], Any]
"""From the API's client to one request."""


class GceError(InfrastructureError):
    """Compute Engine answered with an error that is no matter of credentials."""

    def __init__(self, message: str, *, status: int = 0, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.status = status
        """Of the HTTP answer."""


class Compute:
    """Calls of Compute Engine in one project, from any thread. Raises CredentialsError, Refused and InfrastructureError."""

    def __init__(self, project: str) -> None:
        try:
            import google.auth
            import google_auth_httplib2
            import googleapiclient.discovery
            import httplib2
        except ImportError as error:
            raise MissingExtra("google-api-python-client", "gcp", "A cluster on Google Cloud") from error
        self.project = project
        self._auth, self._authorized = google.auth, google_auth_httplib2.AuthorizedHttp
        self._build, self._http = googleapiclient.discovery.build, httplib2.Http

    def insert(self, zone: str, body: Answer, request: str) -> Answer | None:
        """Ask for a machine: the operation that makes it. None when it is there already.

        `request` is an UUID: asked twice with the same one, Compute Engine makes one machine.
        """
        try:
            return self._call(lambda api: api.insert(project=self.project, zone=zone, body=body, requestId=request))
        except GceError as error:
            if error.status == EXISTS:  # names are never used twice: an answer was lost on its way
                return None
            raise

    def operation(self, zone: str, name: str) -> Answer:
        """How far an operation is."""
        return self._call(lambda _: self._operations.get(project=self.project, zone=zone, operation=name))

    def instance(self, zone: str, name: str) -> Answer | None:
        """A machine; None when there is none of that name."""
        return self._found(lambda api: api.get(project=self.project, zone=zone, instance=name))

    def delete(self, zone: str, name: str) -> None:
        """Have a machine removed, with its disk. One that is gone, or about to go, is none to complain about."""
        try:
            self._found(lambda api: api.delete(project=self.project, zone=zone, instance=name))
        except GceError as error:
            if "not ready" not in error.message:  # another operation of it is under way
                raise

    def serial(self, zone: str, name: str) -> str:
        """All that a machine wrote to its console, as far as it is kept; empty when there is no such machine."""
        answer = self._found(lambda api: api.getSerialPortOutput(project=self.project, zone=zone, instance=name))
        return str((answer or {}).get("contents", ""))

    def instances(self, condition: str) -> Iterator[tuple[str, Answer]]:
        """(zone, machine) of all machines of the project that fulfil a condition, in all zones."""
        token: str | None = None
        while True:
            page = self._call(partial(self._page, condition, token))
            for scope, part in page.get("items", {}).items():
                if part.get("warning", {}).get("code") == "UNREACHABLE":  # that is not the same as empty
                    raise InfrastructureError(f"Compute Engine does not list {scope}: {part['warning'].get('message')}")
                for each in part.get("instances", []):
                    yield scope.rpartition("/")[2], each
            token = page.get("nextPageToken")
            if not token:
                return

    def ask(self, request: Ask) -> Answer:
        """The answer to any request, which is made of the whole API's client."""
        return self._call(lambda _: request(self._service))

    def _page(self, condition: str, token: str | None, api: Any) -> Any:
        return api.aggregatedList(project=self.project, filter=condition, pageToken=token)

    # --- one call

    @cached_property
    def _credentials(self) -> Any:
        try:
            return self._auth.default(scopes=[SCOPE])[0]
        except self._auth.exceptions.DefaultCredentialsError as error:
            raise CredentialsError("no credentials for Google Cloud were found", remedy=LOGIN) from error

    @cached_property
    def _service(self) -> Any:
        endpoint = os.environ.get(ENDPOINT)
        return self._build(
            "compute",
            "v1",
            credentials=self._credentials,
            client_options={"api_endpoint": endpoint} if endpoint else None,
            static_discovery=True,  # the description of the API comes with the package, not over the network
        )

    @cached_property
    def _machines(self) -> Any:
        return self._service.instances()

    @cached_property
    def _operations(self) -> Any:
        return self._service.zoneOperations()

    def _found(self, ask: Ask) -> Answer | None:
        try:
            return self._call(ask)
        except GceError as error:
            if error.status == GONE:
                return None
            raise

    def _call(self, ask: Ask) -> Answer:
        from googleapiclient.errors import HttpError
        from httplib2 import HttpLib2Error

        connection = self._http(timeout=CALL_TIMEOUT_S)  # for this call alone: httplib2 is not safe to share
        try:
            http = self._authorized(self._credentials, http=connection)
            answer: Answer = ask(self._machines).execute(http=http, num_retries=RETRIES)
        except HttpError as error:
            raise refusal(self.project, error.resp.status, error.content) from error
        except self._auth.exceptions.TransportError as error:
            raise InfrastructureError(f"Google's sign-in does not answer: {error}") from error
        except self._auth.exceptions.GoogleAuthError as error:
            raise CredentialsError(f"Google Cloud did not take the credentials: {error}", remedy=LOGIN) from error
        except (HttpLib2Error, OSError) as error:
            raise InfrastructureError(
                f"Compute Engine does not answer: {type(error).__name__}: {error}",
                remedy=f"check the network, and {ENDPOINT} where it is set",
            ) from error
        finally:
            connection.close()
        return answer


class GceFleet:
    """The machines that swath made in a project."""

    kind: Kind = "gcp"

    def __init__(self, project: str) -> None:
        self.place = project
        self.compute = Compute(project)

    def machines(self, run: str | None = None) -> list[Machine]:
        # A stopped machine (TERMINATED, in Compute Engine's word) is listed and still has a disk that is paid for.
        condition = f"labels.{RUN}={run}" if run else f"labels.{RUN}:*"
        listed = (machine(zone, each) for zone, each in self.compute.instances(condition))
        return [each for each in listed if each.run and run in (None, each.run)]

    def end(self, machines: Sequence[Machine]) -> None:
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE, thread_name_prefix="swath-gce") as pool:
            asked = [pool.submit(self.compute.delete, each.place, each.name) for each in machines]
        errors = [error for each in asked if (error := each.exception()) is not None]
        if errors:
            raise errors[0]

    def console(self, machine: Machine, lines: int = 20) -> str:
        return tail(self.compute.serial(machine.place, machine.name), lines)

    def removal(self, machine: Machine) -> str:
        return f"gcloud compute instances delete {machine.name} --project={self.place} --zone={machine.place} --quiet"


def machine(zone: str, listed: Answer) -> Machine:
    """A machine, of Compute Engine's description."""
    labels = listed.get("labels", {})
    expires = str(labels.get(EXPIRES, ""))
    return Machine(
        id=str(listed.get("id", "")),
        name=listed["name"],
        run=labels.get(RUN, ""),
        role=labels.get(ROLE, ""),
        expires=float(expires) if expires.isdecimal() else 0,
        place=zone,
        state=listed.get("status", ""),
        type=listed.get("machineType", "").rpartition("/")[2],
    )


def failure(project: str, operation: Answer) -> SwathError | None:
    """Why an operation failed that was taken at first: no machine may come of an answer that said yes."""
    errors = (operation.get("error") or {}).get("errors") or []
    if not errors:
        return None
    code, message = str(errors[0].get("code", "")), str(errors[0].get("message", ""))
    return _meaning(project, int(operation.get("httpErrorStatusCode") or 0), code, f"{code}: {message}")


def refusal(project: str, status: int, content: bytes) -> SwathError:
    """What an answer with an error means."""
    try:
        error = json.loads(content)["error"]
        message, details = str(error["message"]), error.get("errors") or [{}]
        reason = str(details[0].get("reason", ""))
    except (ValueError, KeyError, TypeError, IndexError):
        message, reason = content.decode(errors="replace")[:300].strip() or f"HTTP {status}", ""
    return _meaning(project, status, reason, message)


def _meaning(project: str, status: int, reason: str, message: str) -> SwathError:
    told, said = f"Compute Engine, project {project}: {message}", f"{reason} {message}"
    if status == 401:
        return CredentialsError(told, remedy=LOGIN)
    if NOT_ALLOWED.search(said) or (status == 403 and not FORBIDDEN_OTHERWISE.search(said)):
        return CredentialsError(told, remedy="give this account the role in infra/iam, or use another account")
    return GceError(told, status=status, remedy=remedy_of(said))


NOT_ALLOWED = re.compile(r"SERVICE_ACCOUNT_ACCESS_DENIED|does not have access|\bpermission\b", re.IGNORECASE)
FORBIDDEN_OTHERWISE = re.compile(r"quota|rate.?limit|accessNotConfigured|disabled|billing", re.IGNORECASE)
"""What Compute Engine also answers with 403."""
REMEDIES = {
    r"quota.?exceeded|QUOTA": "ask for more at https://console.cloud.google.com/iam-admin/quotas, have fewer workers, or"
    " another machine type or region",
    r"POOL_EXHAUSTED|enough resources": "set another cluster.zone or cluster.machine, or try again later",
    r"rate.?limit": "wait a minute; other programs ask in this project, too",
    r"accessNotConfigured|SERVICE_DISABLED": "enable it with `gcloud services enable compute.googleapis.com`",
    r"billing": "enable billing for the project",
    r"/?subnetworks?\b": "set cluster.subnetwork to one of the zone's region, or make it with"
    " `gcloud compute networks subnets create`",
    r"networks?/": "set cluster.network, or make it with `gcloud compute networks create`",
    r"images?\b": "set cluster.machine_image, or make the image with `make machine-image`",
    r"machineTypes?\b|machine type": "set cluster.machine (and scheduler_machine) to one that the zone has:"
    " `gcloud compute machine-types list`",
    r"acceleratorTypes?\b|accelerator": "set cluster.gpus to what the zone has: `gcloud compute accelerator-types list`",
    r"service.?account": "set cluster.service_account, or let this account use it: role roles/iam.serviceAccountUser",
    r"external.?ip|ExternalIp": "set cluster.public_ip: false, and run where the machines' network is reached",
    r"projects/[^/]+'? was not found|project .*not found": "check cluster.project",
}
"""What to do about a message that matches; the first one counts."""


def remedy_of(message: str) -> str:
    """What to do about an error of Compute Engine; empty when nobody knows."""
    return next((remedy for pattern, remedy in REMEDIES.items() if re.search(pattern, message, re.IGNORECASE)), "")


_: type[Fleet] = GceFleet
