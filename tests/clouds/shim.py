"""What the commands of a simulated machine do: docker, shutdown, systemd and the package manager's. Plain Python, quick to start."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
import time
from pathlib import Path

HERE = Path(os.environ["CLOUD_MACHINE"])
ROOT = Path(os.environ["CLOUD_ROOT"])
VALUED = {
    *("-e", "--env", "--env-file", "-v", "--volume", "--mount", "--name", "--shm-size", "--log-driver", "--log-opt"),
    *("--network", "--net", "--gpus", "-w", "--workdir", "--entrypoint", "--restart", "-m", "--memory", "--cpus", "-l"),
    *("--label", "--ulimit", "-u", "--user", "--pull", "-h", "--hostname", "--add-host", "--cap-add", "--cap-drop"),
    *("--security-opt", "--stop-timeout", "--stop-signal", "--device", "--ipc", "--tmpfs", "--pid", "--oom-score-adj"),
}
"""Options of docker run that take a value."""
PLAIN = {
    "--rm",
    "-d",
    "--detach",
    "-i",
    "--interactive",
    "-t",
    "--tty",
    "--init",
    "--privileged",
    "--read-only",
    "-it",
    "--quiet",
}


def seconds(text: str) -> float:
    """A time span of systemd: 90, 90s, 5min, 2h, 1h 30min."""
    units = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hr": 3600, "d": 86400, "ms": 0.001}
    parts = re.findall(r"([\d.]+)\s*([a-z]*)", text)
    return sum(float(number) * units[unit.rstrip("s") if len(unit) > 2 else unit] for number, unit in parts)


def speed() -> float:
    return float((ROOT / "speed").read_text())


def power_off() -> int:
    (HERE / "poweroff").touch()
    time.sleep(1e9)
    return 0


def later(span_s: float, command: list[str]) -> int:
    """Leave a process behind that runs `command` after a span of the machine's time; its id, here."""
    if child := os.fork():
        return child
    os.setsid()
    stop = time.monotonic() + span_s / speed()
    while (left := stop - time.monotonic()) > 0:
        time.sleep(left)
    os.execvp(command[0], command)
    raise SystemExit(127)


def shutdown(words: list[str]) -> int:
    pending = HERE / "shutdown.pid"
    if "-c" in words:
        if pending.exists():
            os.kill(int(pending.read_text()), signal.SIGKILL)
            pending.unlink()
        return 0
    when = next((word for word in words if not word.startswith("-")), "+1")
    if when in ("now", "+0"):
        return power_off()
    if not re.fullmatch(r"\+?\d+", when):
        print(f"Failed to parse time specification: {when}", file=sys.stderr)
        return 1
    pending.write_text(str(later(60 * int(when), ["poweroff"])))
    return 0


def systemd_run(words: list[str]) -> int:
    span_s = 0.0
    while words and words[0].startswith("-"):
        option, _, value = words.pop(0).partition("=")
        if option in ("--on-active", "--on-boot", "--on-startup"):
            span_s = seconds(value)
    if not words:
        print("Command line to execute required.", file=sys.stderr)
        return 1
    later(span_s, words)
    return 0


def systemctl(words: list[str]) -> int:
    verb = next((word for word in words if not word.startswith("-")), "")
    if verb in ("poweroff", "halt"):
        return power_off()
    if verb in ("start", "restart") or (verb == "enable" and "--now" in words):
        for unit in [word for word in words if not word.startswith("-")][1:]:
            start(unit)
    return 0


def start(unit: str) -> None:
    """Of a unit that the user data wrote; those of the image are there, and running."""
    path = HERE / "root/etc/systemd/system" / (unit if "." in unit else f"{unit}.service")
    if not path.is_file():
        return
    lines = re.findall(r"^(\w+)=(.*)$", path.read_text(), re.MULTILINE)
    if path.suffix == ".timer":
        service = dict(lines).get("Unit", f"{path.stem}.service")
        for name, value in lines:
            if name in ("OnActiveSec", "OnBootSec", "OnStartupSec"):
                later(seconds(value), ["systemctl", "start", service])
    else:
        for name, value in lines:
            if name == "ExecStart":
                later(0, shlex.split(value.lstrip("-@+!:")))


def docker(words: list[str]) -> int:
    while words and words[0].startswith("-"):
        words.pop(0)
    verb, *words = words or ["help"]
    behaviour = os.environ["CLOUD_CONTAINER"]
    if verb in ("pull", "login", "info", "version", "ps", "images", "logs", "image"):
        if verb == "pull" and behaviour == "missing":
            print(f"Error response from daemon: manifest for {words[-1]} not found: manifest unknown", file=sys.stderr)
            return 1
        return 0
    if verb in ("kill", "stop", "rm"):
        for name in [word for word in words if not word.startswith("-")]:
            path = HERE / "containers" / f"{name}.pid"
            if path.exists():
                os.kill(int(path.read_text()), signal.SIGTERM if verb == "stop" else signal.SIGKILL)
                path.unlink()
        return 0
    if verb != "run":
        print(f"docker: '{verb}' is not a docker command.\nSee 'docker --help'", file=sys.stderr)
        return 1
    return run(words, behaviour)


def run(words: list[str], behaviour: str) -> int:
    """docker run: the command in place of the container, with the variables that a container would have."""
    environment = {name: value for name, value in os.environ.items() if name != "CLOUD_CONTAINER"}
    name, detached, entry = f"c{os.getpid()}", False, ""
    mounts: list[tuple[str, str]] = []
    while words and words[0].startswith("-"):
        option, _, value = words.pop(0).partition("=")
        if option in VALUED and not value:
            value = words.pop(0)
        elif option not in VALUED | PLAIN:
            print(f"unknown flag: {option}\nSee 'docker run --help'.", file=sys.stderr)
            return 125
        if option in ("-e", "--env"):
            key, given, content = value.partition("=")
            environment[key] = content if given else os.environ.get(key, "")
        elif option == "--env-file":
            for line in Path(value).read_text().splitlines():
                if line and not line.startswith("#"):
                    key, given, content = line.partition("=")
                    environment[key] = content if given else os.environ.get(key, "")
        elif option == "--name":
            name = value
        elif option in ("-v", "--volume"):
            mounts.append((value.split(":")[0], value.split(":")[1]))
        elif option == "--entrypoint":
            entry = value
        elif option in ("-d", "--detach"):
            detached = True
    if not words:
        print("docker: 'docker run' requires at least 1 argument", file=sys.stderr)
        return 125
    image, *command = words
    (HERE / "image").write_text(image)
    if behaviour == "missing":
        print(f"docker: Error response from daemon: manifest for {image} not found: manifest unknown.", file=sys.stderr)
        return 125
    if behaviour == "dies":
        print("the container died, as a test asked for", file=sys.stderr)
        return 1
    if behaviour == "hangs":
        time.sleep(1e9)
    command = [entry, *command] if entry else command
    for outside, inside in mounts:  # nothing is mounted: what the command says is put where the files are
        command = [re.sub(rf"(^|=){re.escape(inside)}(?=/|$)", rf"\g<1>{outside}", word) for word in command]
        environment = {
            key: outside + value.removeprefix(inside) if value == inside or value.startswith(f"{inside}/") else value
            for key, value in environment.items()
        }
    while command and (command[0] == "env" or re.match(r"\w+=", command[0])):
        if command[0] != "env":
            key, _, value = command[0].partition("=")
            environment[key] = value
        command = command[1:]
    command = at_home(command)
    if detached and os.fork():
        print(name)
        return 0
    (HERE / "containers").mkdir(exist_ok=True)
    (HERE / "containers" / f"{name}.pid").write_text(str(os.getpid()))
    try:
        os.execvpe(command[0], command, environment)
    except OSError as error:
        print(f"docker: Error response from daemon: exec: {command[0]}: {error.strerror}", file=sys.stderr)
        return 127


def at_home(command: list[str]) -> list[str]:
    """Dask's own commands, with the address of this machine: on a real one all interfaces are its own."""
    address = os.environ["MACHINE_ADDRESS"]
    if "distributed.cli.dask_scheduler" in command and "--host" not in command:
        command = [*command, "--host", address, "--dashboard-address", f"{address}:8787"]
    if "swath.cluster.machine.entrypoint" in command and "--host" not in command:
        command = [*command, "--host", address]
    if "swath.cluster.machine.entrypoint" in command and "--host" not in command:
        command = [*command, "--host", address]
    if "--spec" in command:
        position = command.index("--spec") + 1
        spec = json.loads(command[position])
        for each in [spec] if "cls" in spec else spec.values():
            each["opts"].setdefault("host", address)
        command = [*command[:position], json.dumps(spec), *command[position + 1 :]]
    return command


def main(name: str, words: list[str]) -> int:
    if name == "docker":
        return docker(words)
    if name in ("poweroff", "halt"):
        return power_off()
    if name == "shutdown":
        return shutdown(words)
    if name == "systemd-run":
        return systemd_run(words)
    if name == "systemctl":
        return systemctl(words)
    if name == "sudo":
        rest = words
        while rest and rest[0].startswith("-"):
            rest = rest[1:]
        os.execvp(rest[0], rest)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
