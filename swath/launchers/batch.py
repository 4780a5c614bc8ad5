"""Jobs of AWS Batch: a container on a machine, or on Fargate, of a queue's compute environments."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, TypeAlias

from swath.errors import CredentialsError, InfrastructureError, MissingExtra, SwathError, UsageError
from swath.launchers.contract import LABEL_AGENT, LABEL_JOB, JobLauncher, JobRequest, JobState, NoRoom
from swath.launchers.settings import BatchSettings

LOG_GROUP = "/aws/batch/job"
_PAGE = 100
_WAITING = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING")
_ENDED = ("SUCCEEDED", "FAILED")
_NO_ROOM = "swath: no machine in time"
_DENIED = (
    "AccessDenied",
    "ExpiredToken",
    "UnrecognizedClient",
    "InvalidSignature",
    "InvalidClientTokenId",
    "NotAuthorized",
)
Response: TypeAlias = dict[str, Any]


class BatchLauncher:
    """Jobs of one job definition, in the queues of one region."""

    poll_s = 15.0

    def __init__(self, settings: BatchSettings) -> None:
        try:
            import botocore.config
            import botocore.exceptions
            import botocore.session
        except ImportError as error:
            raise MissingExtra("botocore", "aws", "The launcher batch") from error
        self._settings = settings
        self._errors = botocore.exceptions
        self._session, self._config = botocore.session.get_session(), botocore.config.Config
        self._clients: dict[tuple[str, int], Any] = {}

    @property
    def boot_s(self) -> float:
        return self._settings.boot_s

    def check(self) -> str:
        for queue in self._settings.queue:
            self._call("list_jobs", {"jobQueue": queue, "jobStatus": "RUNNING", "maxResults": 1})
        return f"AWS Batch in {self._settings.region}: {', '.join(self._settings.queue)}, {self._settings.definition}"

    def start(self, request: JobRequest, place: int) -> str | None:
        if (job := self._only(request.name)) is not None:  # the answer to an earlier request was lost
            return job
        settings = self._settings
        if place >= len(settings.queue):
            return None
        sizes = {"VCPU": settings.vcpus, "MEMORY": settings.memory_mib, "GPU": settings.gpus}
        container = {
            "command": list(request.command),
            "environment": [{"name": name, "value": value} for name, value in sorted(request.env.items())],
            "resourceRequirements": [
                {"type": kind, "value": f"{size:g}"} for kind, size in sizes.items() if size is not None
            ],
        }
        asked = {
            "jobName": request.name,
            "jobQueue": settings.queue[place],
            "jobDefinition": settings.definition,
            "containerOverrides": container,
            "retryStrategy": {"attempts": 1},
            "timeout": {"attemptDurationSeconds": settings.limit_s},
            "tags": {LABEL_JOB: request.name, LABEL_AGENT: request.agent},
        }
        submitted = str(self._call("submit_job", asked, tries=1)["jobId"])
        return self._only(request.name) or submitted

    def find(self, name: str) -> str | None:
        found = sorted(self._named(name), key=lambda job: (job["status"] in _ENDED, job["jobId"]))
        return str(found[0]["jobId"]) if found else None

    def _named(self, name: str) -> list[Response]:
        condition = {"filters": [{"name": "JOB_NAME", "values": [name]}]}
        return [job for queue in self._settings.queue for job in self._listed(queue, condition)]

    def _only(self, name: str) -> str | None:
        """The job of a name that goes on. Names are not unique in AWS Batch: of several one stays."""
        found = [job for job in self._named(name) if job["status"] not in _ENDED]
        ids = [str(job["jobId"]) for job in sorted(found, key=lambda job: (job.get("createdAt", 0), job["jobId"]))]
        for other in ids[1:]:
            self.stop(other)
        return ids[0] if ids else None

    def state(self, job: str) -> JobState:
        found = self._described(job)
        if found is None:
            return JobState("gone", reason="there is no such job any more")
        status, container = found["status"], found.get("container", {})
        reason = ": ".join(filter(None, [found.get("statusReason", ""), container.get("reason", "")]))
        if status in _ENDED:
            if reason.startswith(_NO_ROOM):
                raise NoRoom(f"no machine came in {found.get('jobQueue', '').rpartition('/')[2]}")
            return JobState("gone", container.get("exitCode"), "" if status == "SUCCEEDED" else reason)
        if status == "RUNNABLE" and time.time() - found.get("createdAt", 0) / 1000 > self._settings.queue_s:
            self._terminate(job, _NO_ROOM)  # it waits for a machine: told once it is gone
        return JobState("starting" if status in _WAITING else "running", reason=reason)

    def stop(self, job: str) -> None:
        found = self._described(job)
        if found is not None and found["status"] not in _ENDED:
            self._terminate(job, "swath: stopped by its agent")

    def _terminate(self, job: str, reason: str) -> None:
        self._call("terminate_job", {"jobId": job, "reason": reason})

    def remove(self, job: str) -> None:
        """Nothing is left that costs money: AWS removes the record after a while."""

    def jobs_of(self, agent: str) -> tuple[str, ...]:
        ids = [
            job["jobId"]
            for queue in self._settings.queue
            for status in (*_WAITING, "RUNNING")
            for job in self._listed(queue, {"jobStatus": status})
        ]
        found: list[str] = []
        for first in range(0, len(ids), _PAGE):
            described = self._call("describe_jobs", {"jobs": ids[first : first + _PAGE]})["jobs"]
            found += [job["jobId"] for job in described if job.get("tags", {}).get(LABEL_AGENT) == agent]
        return tuple(found)

    def tail(self, job: str) -> str:
        stream = ((self._described(job) or {}).get("container") or {}).get("logStreamName")
        if not stream:
            return ""
        asked = {"logGroupName": LOG_GROUP, "logStreamName": stream, "limit": 40, "startFromHead": False}
        try:
            events = self._call("get_log_events", asked, service="logs")["events"]
        except SwathError as error:
            return f"its log stream is {LOG_GROUP} {stream}: {error.message}"
        return "\n".join(str(event.get("message", "")) for event in events)[-4000:]

    def _described(self, job: str) -> Response | None:
        jobs = self._call("describe_jobs", {"jobs": [job]})["jobs"]
        return jobs[0] if jobs else None

    def _listed(self, queue: str, condition: Mapping[str, Any]) -> list[Response]:
        found: list[Response] = []
        token: dict[str, str] = {}
        while True:
            page = self._call("list_jobs", {"jobQueue": queue, **condition, **token})
            found += page["jobSummaryList"]
            if not page.get("nextToken"):
                return found
            token = {"nextToken": page["nextToken"]}

    def _call(self, operation: str, asked: Mapping[str, Any], *, tries: int = 3, service: str = "batch") -> Response:
        """tries: 1 for what must not be sent again by itself, as two requests would start two jobs."""
        errors, region = self._errors, self._settings.region
        try:
            if (service, tries) not in self._clients:
                config = self._config(
                    connect_timeout=10, read_timeout=60, retries={"mode": "standard", "total_max_attempts": tries}
                )
                client = self._session.create_client(service, region_name=region, config=config)
                self._clients[service, tries] = client
            answer: Response = getattr(self._clients[service, tries], operation)(**asked)
        except errors.ClientError as error:
            raise _explained(region, error.response) from error
        except (errors.NoCredentialsError, errors.PartialCredentialsError, errors.CredentialRetrievalError) as error:
            raise CredentialsError(
                f"no credentials for AWS: {error}", remedy="`aws configure`, or AWS_PROFILE"
            ) from error
        except (errors.BotoCoreError, OSError) as error:
            raise InfrastructureError(
                f"AWS Batch in {region} does not answer: {type(error).__name__}: {error}"
            ) from error
        return answer


def _explained(region: str, response: Response) -> SwathError:
    code, status = response["Error"].get("Code", ""), response["ResponseMetadata"].get("HTTPStatusCode", 0)
    text = f"AWS Batch in {region}: {code}: {response['Error'].get('Message', '')}"
    if code.startswith(_DENIED) or status in (401, 403):
        return CredentialsError(text, remedy="infra/iam/aws-batch-agent.json has the agent's permissions")
    if status >= 500 or status == 429 or "Throttl" in code or code == "TooManyRequestsException":
        return InfrastructureError(text)
    return UsageError(text, remedy="see the launcher in the agent's file")


def _conforms(launcher: BatchLauncher) -> JobLauncher:
    return launcher
