"""Plays the `docker` command: a container is a process with the variables that it was given, and nothing else of its caller's.

Its folder ($FAKE_DOCKER) has a folder per container, `fault` (missing, dies, hangs, away), and `canary`, a text that no definition
may have.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(os.environ["FAKE_DOCKER"])
VALUED = {"--name", "--label", "--env", "--memory", "--cpus", "--gpus", "--network", "--volume", "--stop-timeout"}
PLAIN = {"--detach", "--init"}


def read(name: str) -> str:
    file = ROOT / name
    return file.read_text().strip() if file.exists() else ""


def write(place: Path, about: dict[str, Any]) -> None:
    (place / "new").write_text(json.dumps(about))
    (place / "new").replace(place / "state.json")


def state_of(name: str) -> dict[str, Any] | None:
    file = ROOT / "containers" / name / "state.json"
    return json.loads(file.read_text()) if file.exists() else None


def fail(text: str, code: int = 1) -> int:
    print(text, file=sys.stderr)
    return code


def run(words: list[str]) -> int:
    options: dict[str, list[str]] = {}
    while words and words[0].startswith("-"):
        option = words.pop(0)
        if option in PLAIN:
            continue
        if option not in VALUED:
            return fail(f"unknown flag: {option}", 125)
        options.setdefault(option, []).append(words.pop(0))
    image, *command = words
    name = options["--name"][0]
    env = {each: os.environ[each] for each in options.get("--env", [])}
    canary = read("canary")
    if canary and canary in json.dumps([options, words, env]):
        return fail("the definition has a secret in it", 125)
    if read("fault") == "missing":
        return fail(f"docker: Error response from daemon: manifest for {image} not found: manifest unknown.", 125)
    place = ROOT / "containers" / name
    try:
        place.mkdir(parents=True)
    except FileExistsError:
        return fail(
            f'docker: Error response from daemon: Conflict. The container name "/{name}" is already in use', 125
        )
    labels = dict(each.split("=", 1) for each in options.get("--label", []))
    about = {"Status": "created", "ExitCode": 0, "command": command, "env": env, "labels": labels, "image": image}
    write(place, about)
    with (place / "log").open("wb") as log:
        subprocess.Popen(
            [sys.executable, __file__, "_monitor", name],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    while (state_of(name) or about)["Status"] == "created":
        time.sleep(0.02)
    print("0123456789abcdef")
    return 0


def monitor(name: str) -> int:
    place = ROOT / "containers" / name
    about = state_of(name)
    assert about is not None
    fault = read("fault")
    command = {"dies": ["sh", "-c", "echo it died, as a test asked for; exit 1"], "hangs": ["sleep", "3600"]}.get(
        fault, about["command"]
    )
    env = {"PATH": os.environ["PATH"], "HOME": str(place), **json.loads(read("image.json") or "{}"), **about["env"]}
    process = subprocess.Popen(command, env=env, cwd=place, start_new_session=True)
    write(place, about | {"Status": "running", "pid": process.pid})
    code = process.wait()
    write(place, about | {"Status": "exited", "ExitCode": code if code >= 0 else 128 - code, "pid": process.pid})
    return 0


def stop(name: str, grace_s: float) -> int:
    about = state_of(name)
    if about is None:
        return fail(f"Error response from daemon: No such container: {name}")
    if about["Status"] == "running":
        for number, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 30)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(about["pid"], number) if number == signal.SIGTERM else os.killpg(about["pid"], number)
            until = time.monotonic() + wait_s
            while (state_of(name) or {})["Status"] == "running" and time.monotonic() < until:
                time.sleep(0.05)
    return 0


def main(words: list[str]) -> int:
    if words[0] == "_monitor":
        return monitor(words[1])
    if read("fault") == "away":
        return fail("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?")
    with (ROOT / "calls").open("a") as file:
        file.write(" ".join(words) + "\n")
    if words[0] == "run":
        return run(words[1:])
    if words[0] == "version":
        print("28.1.1")
        return 0
    if words[0] == "stop":
        return stop(words[1], 60)
    if words[0] == "ps":
        wanted = words[words.index("--filter") + 1].removeprefix("label=").split("=", 1)
        for place in sorted((ROOT / "containers").iterdir()):
            about = state_of(place.name) or {}
            if about.get("Status") == "running" and about["labels"].get(wanted[0]) == wanted[1]:
                print(place.name)
        return 0
    name = words[-1]
    about = state_of(name)
    if about is None:
        return fail(f"Error response from daemon: No such container: {name}")
    if words[0] == "container":
        print(json.dumps({key: about[key] for key in ("Status", "ExitCode")} | {"OOMKilled": False, "Error": ""}))
    elif words[0] == "logs":
        print((ROOT / "containers" / name / "log").read_text()[-4000:])
    elif words[0] == "rm":
        stop(name, 0)
        (ROOT / "containers" / name).rename(ROOT / f"removed-{name}-{time.monotonic_ns()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
