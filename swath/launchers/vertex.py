"""Custom jobs of Vertex AI: a machine for one run, which Google starts, ends and removes."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from swath.errors import CredentialsError, InfrastructureError, MissingExtra, UsageError
from swath.launchers.contract import LABEL_AGENT, LABEL_JOB, JobLauncher, JobRequest, JobState, NoRoom
from swath.launchers.settings import VertexSettings

ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM"
"""Environment variable with the address of another Vertex AI, as the gcloud command reads it."""
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_STARTING = ("JOB_STATE_UNSPECIFIED", "JOB_STATE_QUEUED", "JOB_STATE_PENDING")
_RUNNING = ("JOB_STATE_RUNNING", "JOB_STATE_CANCELLING", "JOB_STATE_PAUSED", "JOB_STATE_UPDATING")
_TIMEOUT_S = 60
Response: TypeAlias = dict[str, Any]


class VertexLauncher:
    """Custom jobs in one project; the job's resource name has its region."""

    poll_s = 15.0

    def __init__(self, settings: VertexSettings) -> None:
        try:
            import google.auth
            import google_auth_httplib2
            import googleapiclient.discovery
            import httplib2
        except ImportError as error:
            raise MissingExtra("google-api-python-client", "gcp", "The launcher vertex") from error
        self._settings = settings
        self._auth, self._authorized = google.auth, google_auth_httplib2.AuthorizedHttp
        self._build, self._http = googleapiclient.discovery.build, httplib2.Http
        self._clients: dict[str, Any] = {}
        self._credentials: Any = None

    @property
    def boot_s(self) -> float:
        return self._settings.boot_s

    def check(self) -> str:
        settings = self._settings
        for region in settings.region:
            self._listed(region, f"labels.{LABEL_AGENT}=none")
        return f"Vertex AI in {', '.join(settings.region)} of {settings.project}: {', '.join(settings.machine)}, image {settings.image}"

    def start(self, request: JobRequest, place: int) -> str | None:
        settings = self._settings
        places = [(region, machine) for region in settings.region for machine in settings.machine]
        if (job := self._only(request.name)) is not None:  # the answer to an earlier request was lost
            return job
        if place >= len(places):
            return None
        region, machine = places[place]
        body = self._body(request, machine)
        parent = f"projects/{settings.project}/locations/{region}"
        created = self._call(region, lambda api: api.create(parent=parent, body=body), once=True)
        return self._only(request.name) or str(created["name"])

    def find(self, name: str) -> str | None:
        found = [job for region in self._settings.region for job in self._listed(region, f"labels.{LABEL_JOB}={name}")]
        found.sort(key=lambda job: (_phase(job) == "gone", job["name"]))
        return str(found[0]["name"]) if found else None

    def _only(self, name: str) -> str | None:
        """The job of a name that goes on. Vertex AI has no names of callers: what was asked for twice, as httplib2 may do by itself
        when a connection breaks, is two jobs, of which one is cancelled here."""
        found = [job for region in self._settings.region for job in self._listed(region, f"labels.{LABEL_JOB}={name}")]
        names = sorted(str(job["name"]) for job in found if _phase(job) != "gone")
        for other in names[1:]:
            self.stop(other)
        return names[0] if names else None

    def _body(self, request: JobRequest, machine: str) -> Response:
        settings = self._settings
        accelerator = (
            {"acceleratorType": settings.accelerator, "acceleratorCount": settings.accelerators}
            if settings.accelerator
            else {}
        )
        pool = {
            "machineSpec": {"machineType": machine, **accelerator},
            "replicaCount": "1",
            "diskSpec": {"bootDiskSizeGb": settings.disk_gb},
            "containerSpec": {
                "imageUri": settings.image,
                "command": list(request.command),
                "env": [{"name": name, "value": value} for name, value in sorted(request.env.items())],
            },
        }
        scheduling = {
            "timeout": f"{settings.limit_s}s",
            "maxWaitDuration": f"{round(settings.boot_s)}s",
            "disableRetries": True,
            "restartJobOnWorkerRestart": False,
            "strategy": "SPOT" if settings.spot else "STANDARD",
        }
        return {
            "displayName": request.name,
            "labels": {LABEL_JOB: request.name, LABEL_AGENT: request.agent},
            "jobSpec": {
                "workerPoolSpecs": [pool],
                "scheduling": scheduling,
                "serviceAccount": settings.service_account,
            },
        }

    def state(self, job: str) -> JobState:
        found = self._get(job)
        if found is None:
            return JobState("gone", reason="there is no such job any more")
        error = found.get("error") or {}
        reason = str(error.get("message", ""))
        phase = _phase(found)
        if phase == "gone" and error.get("code") in (8, 14) and not found.get("startTime"):
            raise NoRoom(reason)
        if found.get("state") == "JOB_STATE_CANCELLED":
            reason = reason or "it was cancelled"
        return JobState(phase, 0 if found.get("state") == "JOB_STATE_SUCCEEDED" else None, reason)

    def stop(self, job: str) -> None:
        found = self._get(job)
        if found is not None and _phase(found) != "gone":
            try:
                self._call(_region(job), lambda api: api.cancel(name=job, body={}))
            except UsageError:  # it has ended meanwhile
                if self.state(job).phase != "gone":
                    raise

    def remove(self, job: str) -> None:
        """Nothing is left that costs money: Google removes the machine, and keeps the record."""

    def jobs_of(self, agent: str) -> tuple[str, ...]:
        jobs = [
            job for region in self._settings.region for job in self._listed(region, f"labels.{LABEL_AGENT}={agent}")
        ]
        return tuple(str(job["name"]) for job in jobs if _phase(job) != "gone")

    def tail(self, job: str) -> str:
        settings = self._settings
        number = job.rpartition("/")[2]
        return f"its log: https://console.cloud.google.com/ai/platform/locations/{_region(job)}/training/{number}?project={settings.project}"

    def _get(self, job: str) -> Response | None:
        try:
            return self._call(_region(job), lambda api: api.get(name=job))
        except UsageError as error:
            if "HTTP 404" in error.message:
                return None
            raise

    def _listed(self, region: str, condition: str) -> list[Response]:
        found: list[Response] = []
        token: str | None = None
        parent = f"projects/{self._settings.project}/locations/{region}"
        while True:
            page = self._call(region, partial(_page, parent, condition, token))
            found += page.get("customJobs", [])
            token = page.get("nextPageToken")
            if not token:
                return found

    def _call(self, region: str, request: Callable[[Any], Any], *, once: bool = False) -> Response:
        """once: not sent again by itself, as two requests would start two jobs."""
        from googleapiclient.errors import HttpError
        from httplib2 import HttpLib2Error

        connection = self._http(timeout=_TIMEOUT_S)
        try:
            if self._credentials is None:
                self._credentials = self._auth.default(scopes=[SCOPE])[0]
            http = self._authorized(self._credentials, http=connection)
            response: Response = request(self._client(region)).execute(http=http, num_retries=0 if once else 2)
        except HttpError as error:
            raise self._explained(region, error.resp.status, error.reason) from error
        except self._auth.exceptions.TransportError as error:
            raise InfrastructureError(f"Google's sign-in does not answer: {error}") from error
        except self._auth.exceptions.GoogleAuthError as error:
            raise CredentialsError(
                f"Google Cloud did not take the agent's credentials: {error}",
                remedy="`gcloud auth application-default login`, or GOOGLE_APPLICATION_CREDENTIALS",
            ) from error
        except (HttpLib2Error, OSError) as error:
            raise InfrastructureError(
                f"Vertex AI in {region} does not answer: {type(error).__name__}: {error}"
            ) from error
        finally:
            connection.close()
        return response

    def _explained(self, region: str, status: int, reason: str) -> Exception:
        text = f"Vertex AI in {region}: {reason} (HTTP {status})"
        if status == 429:
            return NoRoom(text)
        if status in (401, 403):
            return CredentialsError(text, remedy="infra/iam/gcp-vertex-agent.yaml has the agent's permissions")
        if status >= 500:
            return InfrastructureError(text)
        return UsageError(text, remedy="see the launcher in the agent's file")

    def _client(self, region: str) -> Any:
        if region not in self._clients:
            endpoint = os.environ.get(ENDPOINT) or f"https://{region}-aiplatform.googleapis.com/"
            service = self._build(
                "aiplatform",
                "v1",
                credentials=self._credentials,
                client_options={"api_endpoint": endpoint},
                static_discovery=True,
            )
            self._clients[region] = service.projects().locations().customJobs()
        return self._clients[region]


def _page(parent: str, condition: str, token: str | None, api: Any) -> Any:
    return api.list(parent=parent, filter=condition, pageToken=token)


def _phase(job: Response) -> Any:
    state = job.get("state", "JOB_STATE_UNSPECIFIED")
    return "starting" if state in _STARTING else "running" if state in _RUNNING else "gone"


def _region(job: str) -> str:
    return job.split("/")[3]


def _conforms(launcher: VertexLauncher) -> JobLauncher:
    return launcher
