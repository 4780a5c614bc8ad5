"""What the routes of the API work with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from swath.server.accounts import Accounts
from swath.server.agents import Agents
from swath.server.database.database import Database
from swath.server.database.schema import server_id
from swath.server.identity import Identity
from swath.server.inquiries import Inquiries
from swath.server.live import LiveDocuments
from swath.server.metrics import RequestCounts
from swath.server.oidc.oidc_sign_in import OidcSignIn
from swath.server.oidc.provider import Provider
from swath.server.projects import Projects
from swath.server.published_files import PublishedFiles
from swath.server.queue import Queue, QueueLimits
from swath.server.rate_limit import Rate, RateLimit, StreamLimit
from swath.server.retention import Keep, Retention
from swath.server.runs import Runs
from swath.server.sessions import Sessions
from swath.server.sign_in import SignIn
from swath.server.spec_checks import LocalSpecCheck, SpecChecks
from swath.server.triggers.triggers import Triggers
from swath.server.users import Users
from swath.server.wakeup import Wakeup


@dataclass(frozen=True)
class ServerLimits:
    """Sizes and rates of requests."""

    body: int = 2 * 1024 * 1024
    """Bytes of a request."""
    rate: Rate = Rate(per_s=200, burst=400)
    """Of one token."""
    failures: Rate = Rate(per_s=0.2, burst=20)
    """Of tokens that are refused, for one address."""
    streams: int = 20
    """Streams of events that are open at once with one token."""


@dataclass(frozen=True)
class Services:
    """One server's parts."""

    database: Database
    accounts: Accounts
    users: Users
    sessions: Sessions
    sign_in: SignIn
    agents: Agents
    projects: Projects
    queue: Queue
    triggers: Triggers
    runs: Runs
    live: LiveDocuments
    published: PublishedFiles
    checks: SpecChecks
    inquiries: Inquiries
    retention: Retention
    identity: str
    """Id of the server's database."""
    wakeup: Wakeup
    limits: ServerLimits
    rate: RateLimit
    failures: RateLimit
    streams: StreamLimit
    requests: RequestCounts
    oidc: OidcSignIn | None
    """Where people sign in with an identity provider."""

    @classmethod
    def of(
        cls,
        database: Database,
        *,
        queue: QueueLimits = QueueLimits(),
        keep: Keep = Keep(),
        limits: ServerLimits = ServerLimits(),
        files_here: bool = False,
        local_check: LocalSpecCheck | None = None,
        provider: Provider | None = None,
        clock: Callable[[], float] = time.time,
    ) -> Services:
        """All parts over one database. files_here: whether the projects' folders are on this machine. local_check: of specs there.

        provider: with which people may sign in.
        """
        sessions, projects = Sessions(database, clock=clock), Projects(database, clock)
        published = PublishedFiles(projects, here=files_here)
        return cls(
            database=database, accounts=Accounts(database, clock), users=Users(database, clock), sessions=sessions,
            sign_in=SignIn(database, sessions, clock), agents=Agents(database, clock), projects=projects,
            queue=Queue(database, queue, clock), triggers=Triggers.of(database, clock), runs=Runs(database, clock),
            live=LiveDocuments(database, clock),
            published=published,
            checks=SpecChecks(published, local_check), inquiries=Inquiries(database, clock),
            retention=Retention(database, keep, clock), identity=server_id(database), wakeup=Wakeup(), limits=limits,
            rate=RateLimit(limits.rate), failures=RateLimit(limits.failures), streams=StreamLimit(limits.streams),
            requests=RequestCounts(),
            oidc=None if provider is None else OidcSignIn(provider, database, sessions, clock),
        )  # fmt: skip

    def check(self, identity: Identity) -> Identity:
        """Who asks, with today's roles. Raises Unauthorized when the token or the session is good no more."""
        return self.sessions.check(identity) if identity.session else self.accounts.check(identity)
