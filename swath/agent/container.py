"""What a job of a launcher executes: it takes over an attempt from the agent, brings its code, and supervises its run.

The job's definition has a token that is worthless once this process was heard of: it is exchanged for the attempt's own.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import MutableMapping
from pathlib import Path
from types import FrameType

from swath.agent.attempt_folder import AgentSettings, AttemptFolder, ServerAddress
from swath.agent.jobs import LAUNCH, TOKEN
from swath.agent.supervisor import Supervisor
from swath.errors import SwathError, UsageError
from swath.protocol.client import Client, ServerUnavailable
from swath.protocol.messages import Work
from swath.storage.private_folder import make_private

log = logging.getLogger(__name__)
HOME = "SWATH_AGENT_HOME"
"""Environment variable with the folder for code, journals and results; else DISK where it can be written, else one below HOME: paths of
an image stay the same for all attempts, as a resumed run needs it."""
DISK = Path("/var/lib/swath")
TAKE_S = 300.0
"""How long a server that does not answer is asked for the attempt."""


def main() -> int:
    """`python -m swath.agent.container`. The exit code is the run's."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        folder = take_over(os.environ)
        supervisor = Supervisor(folder, carries=not os.path.ismount(DISK))

        def end(number: int, frame: FrameType | None) -> None:
            supervisor.end_by(signal.Signals(number))

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        supervisor.run()
    except SwathError as error:
        log.error("%s", error)
        return error.exit_code
    return supervisor.exit_code


def take_over(env: MutableMapping[str, str]) -> AttemptFolder:
    """The folder of the attempt that the environment names. The names are taken out of it: no run gets them."""
    try:
        launch = json.loads(env.pop(LAUNCH))
        token = env.pop(TOKEN)
        server, run, number = str(launch["server"]), str(launch["run"]), int(launch["number"])
        accepts = tuple(str(each) for each in launch["accepts"])
        secrets = str(launch["secrets"])
    except (KeyError, ValueError, TypeError) as error:
        raise UsageError(f"this is no job of an agent: {LAUNCH} and {TOKEN} are not as an agent writes them") from error
    home = Path(env.get(HOME) or (DISK if os.access(DISK, os.W_OK) else _below_home()))
    work = _taken(Client(server, token), run, number)
    return AttemptFolder.create(
        home / "attempts", ServerAddress(server, ""), work, AgentSettings(str(home), accepts, secrets)
    )


def _below_home() -> Path:
    with contextlib.suppress(OSError, RuntimeError):
        folder = Path.home() / ".local" / "state" / "swath" / "job"
        make_private(folder)
        if os.access(folder, os.W_OK):
            return folder
    return Path(tempfile.mkdtemp(prefix="swath-"))


def _taken(client: Client, run: str, number: int) -> Work:
    deadline = time.monotonic() + TAKE_S
    while True:
        try:
            return client.take_over(run, number)
        except ServerUnavailable as error:
            if time.monotonic() > deadline:
                raise
            log.warning("%s", error.message)
            time.sleep(5)


if __name__ == "__main__":
    sys.exit(main())
