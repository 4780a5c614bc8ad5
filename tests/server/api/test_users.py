"""Users and members over HTTP, by admins and by keepers of a project."""

from __future__ import annotations

from tests.server.test_app import Site, site

__all__ = ["site"]


def test_keepers_decide_about_members_of_their_project_only(site: Site) -> None:
    for name in ("ada", "bob"):
        site.admin("POST", "/users", {"name": name}, 201)
    keeper = site.user("keeper of lakes", "keeper", "lakes")
    keeper("PUT", "/projects/lakes/members/ada", {"role": "keeper"}, 204)
    keeper("PUT", "/projects/lakes/members/bob", {"role": "admin"}, 422)
    keeper("PUT", "/projects/seas/members/ada", {"role": "viewer"}, 404)
    keeper("GET", "/projects/seas/members", status=404)
    assert keeper("GET", "/projects/lakes/members") == {"ada": "keeper"}
    keeper("DELETE", "/projects/lakes/members/ada", status=204)
    assert keeper("GET", "/projects/lakes/members") == {}
    site.user("runner of lakes", "runner", "lakes")("PUT", "/projects/lakes/members/bob", {"role": "viewer"}, 403)


def test_admins_add_change_and_let_in_users(site: Site) -> None:
    site.admin("POST", "/users", {"name": "ada", "email": "ada@example.org"}, 201)
    site.admin("POST", "/users", {"name": "ada"}, 409)
    site.admin("PATCH", "/users/ada", {"disabled": True}, 204)
    (ada,) = site.admin("GET", "/users")
    assert (ada["email"], ada["disabled"], ada["password"]) == ("ada@example.org", True, False)
    site.admin("POST", "/users/ada/link", None, 404)
    site.admin("PATCH", "/users/ada", {"disabled": False, "admin": True}, 204)
    assert site.admin("GET", "/users")[0]["admin"]
    told = [entry["action"] for entry in site.admin("GET", "/audit")["entries"]]
    assert {"add user", "disable user", "enable user", "make admin", "create sign-in link"} <= set(told)
