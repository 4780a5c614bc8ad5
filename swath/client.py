"""A server of swath for programs: ask for runs, wait for them, read their logs. The commands of `pipe` for servers use it, too.

client = connect()  # the server that this user has signed in to
run = client.submit(RunRequest(project="lakes", spec=text))
print(client.wait(run.id).outputs)
"""

from __future__ import annotations

from swath.protocol.client import Client, ClientLimits, ServerUnavailable, Superseded
from swath.protocol.logins import Logins
from swath.protocol.messages import AgentInfo, Line, LinePage, Me, RunFile, RunInfo, RunPage, RunRequest

__all__ = [
    "AgentInfo",
    "Client",
    "ClientLimits",
    "Line",
    "LinePage",
    "Me",
    "RunFile",
    "RunInfo",
    "RunPage",
    "RunRequest",
    "ServerUnavailable",
    "Superseded",
    "connect",
]


def connect(url: str | None = None) -> Client:
    """The server at an address, or else the one that `pipe` asks: of SWATH_SERVER and SWATH_TOKEN, or of `pipe login`.

    Raises UsageError when none is known, or no token for it.
    """
    login = Logins.of_user().find(url)
    return Client(login.url, login.token)
