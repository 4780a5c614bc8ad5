"""Settings of a repository that make git execute programs: filters, diff drivers, commands for ssh, remotes that are asked for objects.

A repository that came in an archive has a `.git/config` of its author's, and `git status` executes the filters that it names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_NAME = r".+"
_PLAIN = re.compile(
    "|".join(
        (
            r"core\.(repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|symlinks|autocrlf|eol|safecrlf"
            r"|abbrev|longpaths|sharedrepository|compression|untrackedcache|splitindex|preloadindex|protecthfs|protectntfs)",
            r"extensions\.(objectformat|refstorage|relativeworktrees|worktreeconfig)",
            rf"remote\.{_NAME}\.(url|pushurl|fetch|push|tagopt|prune|prunetags|mirror|skipdefaultupdate)",
            r"remote\.pushdefault",
            rf"branch\.{_NAME}\.(remote|pushremote|merge|rebase|description|vscode-merge-base)",
            r"branch\.(autosetupmerge|autosetuprebase|sort)",
            rf"submodule\.{_NAME}\.(url|active|branch)",
            r"submodule\.active",
            r"user\.(name|email|signingkey)",
            r"(pull|push|fetch|rebase|rerere|init|advice|color|column|gc|pack|index|feature|status|commitgraph|maintenance)\.\w+",
            rf"http\.({_NAME}\.)?(extraheader|sslverify|postbuffer|lowspeedlimit|lowspeedtime|version|proxy)",
            rf"lfs\.repositoryformatversion|lfs\.{_NAME}\.access",
            rf"include\.path|includeif\.{_NAME}\.path",  # what is included is listed, too
        )
    ),
    re.DOTALL,
)
"""Settings that execute nothing, whatever their value."""
_USERS = ("system", "global", "command")
"""Scopes of settings that are not the repository's."""

LIST = ("config", "--list", "--includes", "--show-scope", "--name-only", "-z")
"""The git command whose output `unsafe_setting` reads."""


def unsafe_setting(listed: str) -> str:
    """The first setting of the repository itself that is not known to execute nothing; empty if there is none."""
    return next((name for scope, name in _pairs(listed) if scope not in _USERS and not _PLAIN.fullmatch(name)), "")


def _pairs(listed: str) -> Iterator[tuple[str, str]]:
    """(scope, name) of each setting; the parts end with NUL."""
    parts = listed.split("\0")[:-1]
    yield from zip(parts[::2], parts[1::2], strict=True)
