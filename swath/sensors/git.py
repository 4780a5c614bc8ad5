"""Sensor `git`: a branch or tag of a repository that moves."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

from swath.errors import ReadFailed, UsageError
from swath.storage.address import redacted
from swath.triggers.look import Found, Look
from swath.triggers.trigger import GitSensor

TIMEOUT_S = 60.0


def look(sensor: GitSensor, cursor: Any, now: float, root: Path) -> Look:
    """The commit that the branch or tag names now."""
    place = redacted(sensor.url)
    command = ["git", "-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never", "ls-remote", "--", sensor.url]
    env = {
        **os.environ,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh -oBatchMode=yes"),
    }
    names = (f"refs/heads/{sensor.ref}", f"refs/tags/{sensor.ref}", sensor.ref)
    try:
        done = subprocess.run(
            [*command, *names], cwd=root, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError:
        raise UsageError("there is no program git on this machine", remedy="install git") from None
    except subprocess.TimeoutExpired:
        raise ReadFailed(
            f"{place}: git had no answer within {TIMEOUT_S:g} s", remedy="the next look tries again"
        ) from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1].replace(sensor.url, place)
        raise ReadFailed(f"{place}: git: {last}", remedy="check `url:`; the next look tries again")
    lines = [line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line]
    commits = {name: commit for commit, name in lines}
    commit = next((commits[name] for name in names if name in commits), None)
    if commit is None or not re.fullmatch(r"[0-9a-f]{40,64}", commit):
        raise ReadFailed(f"{place} has no branch or tag {sensor.ref}", remedy="check `ref:`")
    return Look(
        (Found(commit, {"commit": commit, "ref": sensor.ref}),), None, f"{sensor.ref} is still at {commit[:12]}"
    )
