"""Users and members over HTTP, by admins and by keepers of a project."""

from __future__ import annotations

from fastapi.testclient import TestClient

from swath.server.app import create_app
from tests.server.test_app import Caller, Site, site

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


def test_links_name_the_server_as_others_reach_it(site: Site) -> None:
    site.admin("POST", "/users", {"name": "ada"}, 201)
    token = site.services.accounts.create("user", "other", "admin", who="test")
    app = create_app(site.services, secure=True, url="https://swath.example.org/maps")
    with TestClient(app, base_url="http://localhost") as client:
        link = Caller(client, token)("POST", "/users/ada/link", status=201)["link"]
    assert link.startswith("https://swath.example.org/maps/sign-in?link=swath_link_")
