"""`pipe resume`: continue a run from where it stopped."""

from __future__ import annotations

from swath.cli.commands.run import RunOptions, run_job


def resume_run(run: str, options: RunOptions) -> int:
    """Continue a run of the journal, with the text of its spec that the journal has."""
    from swath.cli.context import here
    from swath.engine.journal import Journal
    from swath.runner.load import load_run

    state = here(options.allow_env).state
    with Journal.open(state) as journal:
        row = journal.find(run)
    with load_run(row, state, trust=False, allow_env=options.allow_env) as job:
        return run_job(job, options)
