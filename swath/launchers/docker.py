"""Containers of this machine's docker, by its command."""

from __future__ import annotations

import json
import os
import subprocess

from swath.errors import InfrastructureError, SwathError, UsageError
from swath.launchers.contract import LABEL_AGENT, LABEL_JOB, JobLauncher, JobRequest, JobState
from swath.launchers.settings import DockerSettings

QUICK_S = 60.0
"""Time limit of a command that starts nothing."""
GRACE_S = 90
"""How long a container that is stopped has to end by itself."""


class DockerLauncher:
    """One container for one run. It has no right on this machine beyond its volumes."""

    poll_s = 2.0

    def __init__(self, settings: DockerSettings) -> None:
        self._settings = settings

    @property
    def boot_s(self) -> float:
        return self._settings.boot_s

    def check(self) -> str:
        version = self._docker("version", "--format", "{{.Server.Version}}").strip()
        return f"docker {version}, image {self._settings.image}"

    def start(self, request: JobRequest, place: int) -> str | None:
        if place > 0:
            return None
        if self._inspected(request.name) is not None:
            return request.name
        settings = self._settings
        values = {
            "--memory": settings.memory, "--cpus": settings.cpus, "--gpus": settings.gpus, "--network": settings.network,
        }  # fmt: skip
        options = [word for name, value in values.items() if value is not None for word in (name, str(value))]
        options += [word for volume in settings.volumes for word in ("--volume", volume)]
        options += [
            word for name in sorted(request.env) for word in ("--env", name)
        ]  # the values are in the environment
        labels = ["--label", f"{LABEL_JOB}={request.name}", "--label", f"{LABEL_AGENT}={request.agent}"]
        words = ["run", "--detach", "--init", "--name", request.name, "--stop-timeout", str(GRACE_S), *labels, *options]
        try:
            self._docker(*words, settings.image, *request.command, env=request.env, timeout_s=settings.boot_s)
        except SwathError:
            if self._inspected(request.name) is None:
                raise
        return request.name

    def find(self, name: str) -> str | None:
        return name if self._inspected(name) is not None else None

    def state(self, job: str) -> JobState:
        found = self._inspected(job)
        if found is None:
            return JobState("gone", reason="there is no such container any more")
        status, code = found.get("Status", ""), found.get("ExitCode")
        if status in ("created", "restarting"):
            return JobState("gone" if found.get("Error") else "starting", reason=str(found.get("Error", "")))
        if status in ("running", "paused"):
            return JobState("running")
        killed = "it had no memory left" if found.get("OOMKilled") else str(found.get("Error", ""))
        return JobState("gone", code if isinstance(code, int) else None, killed)

    def stop(self, job: str) -> None:
        if self.state(job).phase != "gone":
            self._docker("stop", job, timeout_s=QUICK_S + GRACE_S)

    def remove(self, job: str) -> None:
        if self._inspected(job) is not None:
            self._docker("rm", "--force", job)

    def jobs_of(self, agent: str) -> tuple[str, ...]:
        listed = self._docker("ps", "--filter", f"label={LABEL_AGENT}={agent}", "--format", "{{.Names}}")
        return tuple(listed.split())

    def tail(self, job: str) -> str:
        return self._docker("logs", "--tail", "40", job, both=True)[-4000:] if self._inspected(job) is not None else ""

    def _inspected(self, job: str) -> dict[str, object] | None:
        try:
            text = self._docker("container", "inspect", "--format", "{{json .State}}", job)
        except UsageError:
            return None
        try:
            found: dict[str, object] = json.loads(text)
        except ValueError as error:
            raise InfrastructureError(f"docker says of {job}: {text[:200]!r}") from error
        return found

    def _docker(self, *words: str, env: object = None, timeout_s: float = QUICK_S, both: bool = False) -> str:
        """Output of a command of docker. Raises UsageError for what is not there, InfrastructureError for all else."""
        values = {**os.environ, **(env if isinstance(env, dict) else {})}
        try:
            done = subprocess.run(
                ["docker", *words], env=values, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if both else subprocess.PIPE, timeout=timeout_s, check=False,
            )  # fmt: skip
        except FileNotFoundError:
            raise UsageError("the program docker is not installed on the agent's machine") from None
        except subprocess.TimeoutExpired:
            raise InfrastructureError(f"docker {words[0]} took more than {timeout_s:.0f} s") from None
        if done.returncode == 0:
            return done.stdout.decode("utf-8", "replace")
        said = (done.stderr or done.stdout or b"").decode("utf-8", "replace").strip()[-1000:]
        text = f"docker {words[0]}: {said or f'exit code {done.returncode}'}"
        if any(
            each in said.lower()
            for each in ("no such", "not found", "manifest unknown", "executable file", "invalid reference")
        ):
            raise UsageError(text, remedy="see the launcher's image in the agent's file")
        raise InfrastructureError(text, remedy="see whether docker runs, and whether this user may use it")


def _conforms(launcher: DockerLauncher) -> JobLauncher:
    return launcher
