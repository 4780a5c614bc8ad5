from __future__ import annotations

from pathlib import Path

import pytest

from swath.errors import SpecError, UsageError
from swath.server.oidc.oidc_file import OidcFile, client_secret, read_oidc_file

FULL = """
issuer: https://login.example.org/realms/lab
client_id: swath
client_secret_file: secret
name: the lab
hosts: [keys.example.org, "sign.example.org:8443"]
allow: {domains: [example.org], groups: [swath]}
admins: {emails: [ada@example.org], groups: [heads]}
projects: {lakes: {lake team: keeper, students: viewer}}
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "oidc.yaml"
    file.write_text(text)
    return file


def test_a_file_with_all_fields(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a word\n")
    found = read_oidc_file(written(tmp_path, FULL))
    assert found.projects == {"lakes": {"lake team": "keeper", "students": "viewer"}}
    assert client_secret(found, tmp_path, {"SWATH_OIDC_SECRET": "other"}) == "a word"
    (tmp_path / "secret").write_text("\n")
    with pytest.raises(UsageError, match="no secret in it"):
        client_secret(found, tmp_path, {})
    (tmp_path / "secret").unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        client_secret(found, tmp_path, {})


def test_a_secret_may_be_in_the_environment_or_nowhere(tmp_path: Path) -> None:
    found = read_oidc_file(written(tmp_path, "issuer: http://127.0.0.1:5556/dex\nclient_id: swath\n"))
    assert client_secret(found, tmp_path, {"SWATH_OIDC_SECRET": "word"}) == "word"
    assert client_secret(found, tmp_path, {}) is None


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("issuer: http://login.example.org", "begins with https://"),
        ("issuer: https://a:b@login.example.org", "no user, no password"),
        ("issuer: https://login.example.org?x", "no query"),
        ("issuer: login.example.org", "no address"),
        ("algorithms: [HS256]", "expected 'RS256'"),
        ("algorithms: [none]", "algorithms"),
        ("algorithms: []", "algorithms"),
        ("allow: {domains: [Example.org]}", "domains"),
        ("admins: {emails: [example.org]}", "emails"),
        ("projects: {lakes: {staff: admin}}", "or 'keeper'"),
        ("client_secret: word", "client_secret"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, line: str, why: str) -> None:
    rest = "issuer: https://login.example.org\n" if not line.startswith("issuer") else ""
    with pytest.raises(SpecError) as caught:
        read_oidc_file(written(tmp_path, f"client_id: swath\n{rest}{line}\n"))
    (mistake,) = caught.value.mistakes
    assert mistake.line == (2 if not rest else 3)
    assert why in str(caught.value)


def test_nobody_is_let_in_unless_the_file_says_so() -> None:
    found = OidcFile(issuer="https://login.example.org", client_id="swath")
    assert (found.allow.domains, found.allow.groups, found.admins.emails, found.admins.groups) == ((), (), (), ())
    assert found.algorithms == ("RS256", "ES256")
