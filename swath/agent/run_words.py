"""The words of the `pipe` command that executes or resumes a run of a server."""

from __future__ import annotations

from swath.protocol.messages import RunRequest


def run_words(run: str, request: RunRequest, *, resumed: bool) -> list[str]:
    """After `pipe`; the spec comes from stdin. resumed: the journal has the run already."""
    timeout = [] if request.timeout_s is None else ["--timeout", f"{max(1, round(request.timeout_s))}s"]
    if resumed:
        return ["resume", run, *timeout]
    sets = [word for value in request.set for word in ("--set", value)]
    named = ["--set", f"name={request.name}"] if request.name and not _has_name(request.spec) else []
    return ["run", "-", "--id", run, *named, *sets, *timeout, *(["--fresh"] if request.fresh else [])]


def _has_name(spec: str) -> bool:
    return any(line.startswith("name:") for line in spec.splitlines())
