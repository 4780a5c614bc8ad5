from __future__ import annotations

from pathlib import Path

import pytest

from swath.errors import UsageError
from swath.protocol.logins import Login, Logins


def test_servers_are_found_by_address_or_as_the_last_one_and_ci_needs_no_file(tmp_path: Path) -> None:
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    logins = Logins.of_user(env)
    with pytest.raises(UsageError, match="no server is known"):
        logins.find()
    logins.save(Login("https://one.example", "token 1"))
    logins.save(Login("https://two.example", "token 2"), default=False)
    assert logins.find() == Login("https://one.example", "token 1")
    assert logins.find("https://two.example/") == Login("https://two.example", "token 2")
    with pytest.raises(UsageError, match=r"no token is known for https://three\.example"):
        logins.find("https://three.example")
    file = tmp_path / "swath" / "servers.json"
    assert file.stat().st_mode & 0o777 == 0o600
    ci = Logins.of_user({**env, "SWATH_SERVER": "https://ci.example/", "SWATH_TOKEN": "token 3"})
    assert ci.find() == Login("https://ci.example", "token 3")
    assert Logins.of_user({**env, "SWATH_SERVER": "https://two.example"}).find().token == "token 2"


def test_a_file_that_others_can_write_is_not_believed(tmp_path: Path) -> None:
    logins = Logins.of_user({"XDG_CONFIG_HOME": str(tmp_path)})
    logins.save(Login("https://one.example", "token"))
    (tmp_path / "swath" / "servers.json").chmod(0o666)
    with pytest.raises(UsageError, match="cannot be read"):
        logins.find()
