"""Tables of the server, as steps: a new database takes all of them, an older one those that it has not had."""

from __future__ import annotations

import secrets

from swath.crashpoint import reached
from swath.errors import StateError
from swath.server.database.database import Connection, Database

STEPS = (
    """
    CREATE TABLE projects (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, source TEXT NOT NULL, created DOUBLE PRECISION NOT NULL,
        last_claim DOUBLE PRECISION NOT NULL DEFAULT 0
    );
    CREATE TABLE tokens (
        id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, name TEXT NOT NULL, role TEXT NOT NULL,
        project TEXT REFERENCES projects(id), created DOUBLE PRECISION NOT NULL, used DOUBLE PRECISION, expires DOUBLE PRECISION,
        revoked DOUBLE PRECISION
    );
    CREATE TABLE agents (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, token TEXT NOT NULL REFERENCES tokens(id), labels TEXT NOT NULL,
        slots BIGINT NOT NULL, version TEXT NOT NULL, session TEXT NOT NULL, registered DOUBLE PRECISION NOT NULL,
        seen DOUBLE PRECISION NOT NULL, paused BIGINT NOT NULL DEFAULT 0
    );
    CREATE TABLE runs (
        id TEXT PRIMARY KEY, project TEXT NOT NULL REFERENCES projects(id), name TEXT NOT NULL, pipeline TEXT NOT NULL,
        request TEXT NOT NULL, labels TEXT NOT NULL, priority BIGINT NOT NULL, limit_key TEXT NOT NULL, state TEXT NOT NULL,
        attempt BIGINT NOT NULL DEFAULT 0, attempts BIGINT NOT NULL, when_lost TEXT NOT NULL,
        cancel TEXT NOT NULL DEFAULT '', requested_by TEXT NOT NULL, idempotency_key TEXT, digest TEXT NOT NULL,
        queued DOUBLE PRECISION NOT NULL, started DOUBLE PRECISION, ended DOUBLE PRECISION,
        status TEXT NOT NULL DEFAULT '', exit_code BIGINT, error TEXT NOT NULL DEFAULT '', outputs TEXT NOT NULL DEFAULT '[]',
        summary TEXT NOT NULL DEFAULT '{}', next_line BIGINT NOT NULL DEFAULT 1,
        UNIQUE (project, idempotency_key)
    );
    CREATE INDEX ready_runs ON runs (labels, project, priority, queued) WHERE state = 'queued';
    CREATE INDEX active_runs ON runs (limit_key, project) WHERE state IN ('claimed', 'running');
    CREATE INDEX runs_by_time ON runs (queued, id);
    CREATE INDEX runs_of_project ON runs (project, queued, id);
    CREATE TABLE attempts (
        run TEXT NOT NULL REFERENCES runs(id), number BIGINT NOT NULL, claim TEXT NOT NULL UNIQUE,
        agent TEXT NOT NULL REFERENCES agents(id), token TEXT NOT NULL UNIQUE, claimed DOUBLE PRECISION NOT NULL,
        started DOUBLE PRECISION, beat DOUBLE PRECISION NOT NULL, ended DOUBLE PRECISION, launched TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (run, number)
    );
    CREATE INDEX open_attempts ON attempts (agent) WHERE ended IS NULL;
    CREATE TABLE lines (
        run TEXT NOT NULL REFERENCES runs(id), id BIGINT NOT NULL, attempt BIGINT NOT NULL, time DOUBLE PRECISION NOT NULL,
        level TEXT NOT NULL, node TEXT NOT NULL, item BIGINT, worker TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (run, id)
    );
    CREATE TABLE limits (
        project TEXT NOT NULL REFERENCES projects(id), name TEXT NOT NULL, most BIGINT NOT NULL, PRIMARY KEY (project, name)
    );
    CREATE TABLE audit (
        id TEXT PRIMARY KEY, time DOUBLE PRECISION NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL,
        detail TEXT NOT NULL
    );
    CREATE INDEX audit_by_time ON audit (time, id)
    """,
    """
    ALTER TABLE runs ADD COLUMN files TEXT NOT NULL DEFAULT '[]';
    CREATE INDEX ended_runs ON runs (ended) WHERE state = 'ended'
    """,
    """
    CREATE TABLE users (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, email TEXT NOT NULL DEFAULT '', password TEXT, subject TEXT UNIQUE,
        admin BIGINT NOT NULL DEFAULT 0, disabled DOUBLE PRECISION, created DOUBLE PRECISION NOT NULL
    );
    CREATE TABLE members (
        project TEXT NOT NULL REFERENCES projects(id), person TEXT NOT NULL REFERENCES users(id), role TEXT NOT NULL,
        PRIMARY KEY (project, person)
    );
    CREATE INDEX members_by_person ON members (person);
    CREATE TABLE sessions (
        hash TEXT PRIMARY KEY, person TEXT NOT NULL REFERENCES users(id), signed_in_by TEXT NOT NULL,
        created DOUBLE PRECISION NOT NULL, seen DOUBLE PRECISION NOT NULL, expires DOUBLE PRECISION NOT NULL
    );
    CREATE INDEX sessions_by_person ON sessions (person);
    CREATE TABLE sign_in_links (
        hash TEXT PRIMARY KEY, person TEXT NOT NULL REFERENCES users(id), expires DOUBLE PRECISION NOT NULL
    );
    ALTER TABLE tokens ADD COLUMN owner TEXT REFERENCES users(id)
    """,
    """
    ALTER TABLE runs ADD COLUMN commit_hash TEXT NOT NULL DEFAULT '';
    ALTER TABLE agents ADD COLUMN accepts TEXT NOT NULL DEFAULT '[]'
    """,
    """
    ALTER TABLE attempts ADD COLUMN launch_token TEXT;
    CREATE INDEX launched_attempts ON attempts (launch_token) WHERE launch_token IS NOT NULL
    """,
    """
    CREATE TABLE live (
        run TEXT PRIMARY KEY REFERENCES runs(id), attempt BIGINT NOT NULL, time DOUBLE PRECISION NOT NULL, body TEXT NOT NULL
    )
    """,
    """
    ALTER TABLE audit ADD COLUMN via TEXT NOT NULL DEFAULT '';
    ALTER TABLE audit ADD COLUMN address TEXT NOT NULL DEFAULT ''
    """,
    """
    CREATE TABLE triggers (
        id TEXT PRIMARY KEY, project TEXT NOT NULL REFERENCES projects(id), name TEXT NOT NULL, kind TEXT NOT NULL,
        origin TEXT NOT NULL, definition TEXT NOT NULL, fingerprint TEXT NOT NULL, spec TEXT NOT NULL,
        commit_hash TEXT NOT NULL DEFAULT '', considered DOUBLE PRECISION NOT NULL, next_due DOUBLE PRECISION,
        looked DOUBLE PRECISION, look_cursor TEXT NOT NULL DEFAULT 'null', paused TEXT NOT NULL DEFAULT '',
        missed TEXT NOT NULL DEFAULT '', hook_key TEXT NOT NULL DEFAULT '', firings BIGINT NOT NULL DEFAULT 0,
        ticks BIGINT NOT NULL DEFAULT 0, UNIQUE (project, name)
    );
    CREATE INDEX due_triggers ON triggers (next_due) WHERE next_due IS NOT NULL;
    CREATE TABLE firings (
        trigger_id TEXT NOT NULL REFERENCES triggers(id), key TEXT NOT NULL, number BIGINT NOT NULL, due DOUBLE PRECISION NOT NULL,
        not_before DOUBLE PRECISION NOT NULL, expires DOUBLE PRECISION, made DOUBLE PRECISION NOT NULL, found TEXT NOT NULL,
        depth BIGINT NOT NULL, state TEXT NOT NULL, run_id TEXT NOT NULL DEFAULT '', status TEXT NOT NULL DEFAULT '',
        text TEXT NOT NULL DEFAULT '', PRIMARY KEY (trigger_id, key), UNIQUE (trigger_id, number)
    );
    CREATE INDEX open_firings ON firings (state, trigger_id, number) WHERE state <> 'ended';
    CREATE INDEX firings_of_runs ON firings (run_id) WHERE run_id <> '';
    CREATE TABLE ticks (
        trigger_id TEXT NOT NULL REFERENCES triggers(id), number BIGINT NOT NULL, first DOUBLE PRECISION NOT NULL,
        at DOUBLE PRECISION NOT NULL, times BIGINT NOT NULL, outcome TEXT NOT NULL, text TEXT NOT NULL,
        PRIMARY KEY (trigger_id, number)
    );
    CREATE TABLE looks (
        id TEXT PRIMARY KEY, project TEXT NOT NULL REFERENCES projects(id), trigger_id TEXT NOT NULL DEFAULT '',
        due DOUBLE PRECISION NOT NULL, fence BIGINT NOT NULL DEFAULT 0, agent TEXT NOT NULL DEFAULT '',
        session TEXT NOT NULL DEFAULT '', expires DOUBLE PRECISION NOT NULL DEFAULT 0, digest TEXT NOT NULL DEFAULT '',
        done DOUBLE PRECISION, problem TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX due_looks ON looks (due)
    """,
    """
    CREATE TABLE inquiries (
        id TEXT PRIMARY KEY, project TEXT NOT NULL REFERENCES projects(id), kind TEXT NOT NULL, digest TEXT NOT NULL,
        asked_by TEXT NOT NULL, asked DOUBLE PRECISION NOT NULL, request TEXT NOT NULL, labels TEXT NOT NULL,
        agent TEXT REFERENCES agents(id), answered DOUBLE PRECISION, answer TEXT, failed BIGINT NOT NULL DEFAULT 0
    );
    CREATE INDEX open_inquiries ON inquiries (asked) WHERE answered IS NULL;
    CREATE INDEX inquiries_of_project ON inquiries (project, kind)
    """,
)


def migrate(database: Database) -> None:
    """Bring a database to today's tables, in one transaction. Raises StateError when it was written by a newer swath."""
    with database.transaction() as db:
        if database.migration_lock:
            db.execute(database.migration_lock)
        db.execute("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        found = version(db)
        if found > len(STEPS):
            raise StateError(
                f"the server's database was written by a newer swath (version {found}, this one knows {len(STEPS)})",
                remedy="upgrade swath, or restore the backup from before the upgrade",
            )
        for step in STEPS[found:]:
            for statement in step.split(";"):
                db.execute(statement)
            reached("migrating")
        db.execute(
            "INSERT INTO meta (name, value) VALUES ('version', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (str(len(STEPS)),),
        )
        db.execute(
            "INSERT INTO meta (name, value) VALUES ('server', ?) ON CONFLICT (name) DO NOTHING", (secrets.token_hex(8),)
        )


def server_id(database: Database) -> str:
    """A random word that stays with the database: servers at two addresses are the same one when they have it in common."""
    with database.reading() as db:
        found: str = db.execute("SELECT value FROM meta WHERE name = 'server'")[0]["value"]
    return found


def database_version(database: Database) -> int:
    """Number of steps that a database has had; 0 for an empty one."""
    with database.transaction() as db:
        if database.migration_lock:
            db.execute(database.migration_lock)
        db.execute("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        return version(db)


def version(db: Connection) -> int:
    """Number of steps that the database has had."""
    rows = db.execute("SELECT value FROM meta WHERE name = 'version'")
    return int(rows[0]["value"]) if rows else 0
