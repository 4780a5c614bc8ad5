"""What an identity may do in which project."""

from __future__ import annotations

import pytest

from swath.server.identity import Identity
from swath.server.refusals import Forbidden, NotFound


def test_roles_in_projects_are_apart() -> None:
    who = Identity("user", "1", "ada", roles={"lakes": "keeper", "seas": "viewer"})
    who.require("keeper", "lakes")
    who.require("keeper")
    who.require("viewer", "seas")
    with pytest.raises(Forbidden, match="ada is viewer: this needs runner"):
        who.require("runner", "seas")
    with pytest.raises(NotFound):
        who.require("viewer", "rivers")
    with pytest.raises(Forbidden, match="of lakes, seas only"):
        who.require("admin")
    with pytest.raises(Forbidden, match="in no project"):
        Identity("user", "1", "bob").require("viewer")
