"""Jobs of Kubernetes: one pod for one run, in one namespace."""

from __future__ import annotations

from typing import Any, TypeAlias

from swath.cluster.providers.kubernetes.api import ACCESS_REVIEW, KubernetesApi
from swath.errors import CredentialsError, InfrastructureError, SwathError, UsageError
from swath.launchers.contract import LABEL_AGENT, LABEL_JOB, JobLauncher, JobRequest, JobState, NoRoom
from swath.launchers.settings import KubernetesSettings

GRACE_S = 120
"""How long a pod that is stopped, or whose machine is taken, has to end by itself, where the machine gives it so long."""
KEPT_S = 7 * 24 * 3600
"""How long Kubernetes keeps a job that has ended and that no agent removed."""
RIGHTS = (
    ("batch", "jobs", "create"),
    ("batch", "jobs", "list"),
    ("batch", "jobs", "delete"),
    ("", "pods", "list"),
    ("", "pods/log", "get"),
)
_NEVER = (
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
)
"""Why containers wait that will not start by themselves."""
_REMEDY = "infra/iam/kubernetes-agent.yaml has the agent's rights"
Resource: TypeAlias = dict[str, Any]


class KubernetesLauncher:
    """Jobs of one namespace. A job is named after its attempt, so that none is made twice."""

    poll_s = 5.0

    def __init__(self, settings: KubernetesSettings, api: KubernetesApi | None = None) -> None:
        self._settings = settings
        place = f"{settings.context}/{settings.namespace}" if settings.context else settings.namespace
        self._api = api or KubernetesApi(place)

    @property
    def boot_s(self) -> float:
        return self._settings.boot_s

    def check(self) -> str:
        namespace = self._settings.namespace
        for group, resource, verb in RIGHTS:
            name, _, part = resource.partition("/")
            asked = {"namespace": namespace, "group": group, "resource": name, "subresource": part, "verb": verb}
            review = {"kind": ACCESS_REVIEW, "metadata": {"name": "swath"}, "spec": {"resourceAttributes": asked}}
            if not self._api.create(review).get("status", {}).get("allowed"):
                raise CredentialsError(
                    f"the agent may not {verb} {resource} in the namespace {namespace}", remedy=_REMEDY
                )
        return f"Kubernetes, namespace {namespace}, image {self._settings.image}"

    def start(self, request: JobRequest, place: int) -> str | None:
        if self._jobs(LABEL_JOB, request.name):
            return request.name
        if place > 0:
            return None
        try:
            self._api.create(self.manifest(request))
        except CredentialsError as error:
            if "exceeded quota" in error.message:  # Kubernetes says 403 for that, too
                raise NoRoom(error.message) from error
            raise CredentialsError(error.message, remedy=_REMEDY) from error
        except InfrastructureError as error:
            if not self._jobs(LABEL_JOB, request.name):  # else the answer to an earlier request was lost
                if "admission" in error.message or "invalid" in error.message.lower():
                    raise UsageError(error.message, remedy="see the launcher in the agent's file") from error
                raise
        return request.name

    def manifest(self, request: JobRequest) -> Resource:
        """The job as it is sent."""
        settings = self._settings
        labels = {LABEL_JOB: request.name, LABEL_AGENT: request.agent}
        sizes = {"cpu": settings.cpu, "memory": settings.memory, settings.gpu: settings.gpus}
        asked = {name: str(size) for name, size in sizes.items() if size is not None}
        container = {
            "name": "run",
            "image": settings.image,
            "command": list(request.command),
            "env": [{"name": name, "value": value} for name, value in sorted(request.env.items())],
            "resources": {"requests": asked, "limits": {name: size for name, size in asked.items() if name != "cpu"}},
            "securityContext": {"allowPrivilegeEscalation": False},
        }
        pod = {
            "restartPolicy": "Never",
            "serviceAccountName": settings.service_account,
            "terminationGracePeriodSeconds": GRACE_S,
            "nodeSelector": dict(settings.node_selector),
            "tolerations": [{"key": key, "operator": "Exists"} for key in settings.tolerations],
            "containers": [container],
        }
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": request.name, "namespace": settings.namespace, "labels": labels},
            "spec": {
                "backoffLimit": 0,
                "activeDeadlineSeconds": settings.limit_s,
                "ttlSecondsAfterFinished": KEPT_S,
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }

    def find(self, name: str) -> str | None:
        return name if self._jobs(LABEL_JOB, name) else None

    def state(self, job: str) -> JobState:
        jobs, pods = self._jobs(LABEL_JOB, job), self._pods(job)
        going = [pod for pod in pods if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")]
        ended = _ended(jobs[0]) if jobs else "there is no such job any more"
        if ended is not None and not any(pod["status"].get("phase") == "Running" for pod in going):
            code, why = _exit_of(pods)
            return JobState("gone", 0 if ended == "" else code, ": ".join(filter(None, [ended, why])))
        reason, never = _waits_for(going)
        if never:
            return JobState("gone", reason=reason)
        running = any(pod["status"].get("phase") == "Running" for pod in going)
        return JobState("running" if running else "starting", reason=reason)

    def stop(self, job: str) -> None:
        """Its pod gets SIGTERM; the job's record goes at once, and the job is gone when the pod is."""
        if (jobs := self._jobs(LABEL_JOB, job)) and _ended(jobs[0]) is None:
            self._api.delete("Job", job)

    def remove(self, job: str) -> None:
        self._api.delete("Job", job)

    def jobs_of(self, agent: str) -> tuple[str, ...]:
        return tuple(str(job["metadata"]["name"]) for job in self._jobs(LABEL_AGENT, agent) if _ended(job) is None)

    def tail(self, job: str) -> str:
        for pod in self._pods(job):
            try:
                return self._api.log(pod["metadata"]["name"], 40)[-4000:]
            except SwathError as error:
                return f"its log could not be read: {error.message}"
        return ""

    def _jobs(self, label: str, value: str) -> list[Resource]:
        return self._found("Job", f"{label}={value}")

    def _pods(self, job: str) -> list[Resource]:
        return self._found("Pod", f"{LABEL_JOB}={job}")

    def _found(self, kind: str, selector: str) -> list[Resource]:
        try:
            return self._api.find(kind, selector)
        except CredentialsError as error:
            raise CredentialsError(error.message, remedy=_REMEDY) from error


def _ended(job: Resource) -> str | None:
    """Why a job has failed; empty for one that was successful, None for one that goes on."""
    for each in job.get("status", {}).get("conditions") or ():
        if each.get("status") == "True" and each.get("type") in ("Complete", "Failed"):
            words = ": ".join(filter(None, [each.get("reason"), each.get("message")]))
            return "" if each["type"] == "Complete" else words or "it failed"
    return None


def _exit_of(pods: list[Resource]) -> tuple[int | None, str]:
    """Exit code of a pod's container, and what Kubernetes says of its end."""
    for pod in pods:
        status = pod.get("status", {})
        words = [status.get("reason"), status.get("message")]
        for container in status.get("containerStatuses") or ():
            if end := container.get("state", {}).get("terminated"):
                reason = end.get("reason")
                words += [reason if reason not in ("Completed", "Error") else None, end.get("message")]
                return end.get("exitCode"), ": ".join(filter(None, words))
        if any(words):
            return None, ": ".join(filter(None, words))
    return None, ""


def _waits_for(pods: list[Resource]) -> tuple[str, bool]:
    """What pods wait for that do not run, and whether that never comes."""
    for pod in pods:
        status = pod.get("status", {})
        for container in status.get("containerStatuses") or ():
            if waiting := container.get("state", {}).get("waiting"):
                words = ": ".join(filter(None, [waiting.get("reason"), waiting.get("message")]))
                return words, waiting.get("reason") in _NEVER
        for each in status.get("conditions") or ():
            if each.get("type") == "PodScheduled" and each.get("status") == "False":
                return ": ".join(filter(None, [each.get("reason"), each.get("message")])), False
    return "", False


def _conforms(launcher: KubernetesLauncher) -> JobLauncher:
    return launcher
