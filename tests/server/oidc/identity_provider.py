"""A small identity provider on loopback, which can be made to answer as no honest one would."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

CLIENT, SECRET = "swath", "s3cret & more"
Reply = Callable[[http.server.BaseHTTPRequestHandler], None]


@cache
def rsa_key(name: str = "one") -> RSAKey:
    """A key pair, the same for the same name."""
    return RSAKey.generate_key(2048, {"kid": name, "use": "sig"})


@cache
def ec_key(name: str = "two") -> ECKey:
    return ECKey.generate_key("P-256", {"kid": name, "use": "sig"})


class IdentityProvider:
    """One that knows one client, and one person at a time."""

    def __init__(self) -> None:
        self.issuer = ""
        self.person: dict[str, Any] = {"sub": "248289", "email": "ada@example.org", "email_verified": True}
        """Claims of whoever is signed in there now."""
        self.discovery: dict[str, Any] = {}
        """Changes of what it says of itself."""
        self.sign: Callable[[dict[str, Any]], str] = lambda claims: jwt.encode(
            {"alg": "RS256", "kid": "one"}, claims, rsa_key()
        )
        self.keys: list[Any] = [rsa_key().as_dict(private=False), ec_key().as_dict(private=False)]
        self.replies: dict[str, Reply] = {}
        """What it does instead at a path."""
        self.asked: list[str] = []
        """Paths."""
        self.forms: list[dict[str, str]] = []
        """What came to the token's address."""
        self._codes: dict[str, dict[str, str]] = {}

    def sign_in(self, address: str, **changes: Any) -> str:
        """What a browser comes back with, for the address that it was sent to: path and query. changes: of the claims."""
        parts = urlsplit(address)
        asked = dict(parse_qsl(parts.query))
        assert (f"{parts.scheme}://{parts.netloc}", asked["client_id"]) == (self.issuer, CLIENT)
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        now, code = time.time(), secrets.token_urlsafe(16)
        claims = {
            "iss": self.issuer, "aud": CLIENT, "exp": now + 300, "iat": now, "nonce": asked["nonce"], **self.person, **changes,
        }  # fmt: skip
        token = self.sign({name: value for name, value in claims.items() if value is not None})
        self._codes[code] = {"challenge": asked["code_challenge"], "back": asked["redirect_uri"], "token": token}
        return f"{urlsplit(asked['redirect_uri']).path}?code={code}&state={asked['state']}"

    def say(self) -> dict[str, Any]:
        """What it says of itself."""
        return {
            "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize", "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys", **self.discovery,
        }  # fmt: skip

    def exchange(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """The answer at the token's address."""
        kind, _, pair = authorization.partition(" ")
        name, _, secret = base64.b64decode(pair).decode().partition(":") if kind == "Basic" else ("", "", "")
        client = (unquote_plus(name), unquote_plus(secret)) if kind else (form["client_id"], form["client_secret"])
        known = self._codes.pop(form["code"], None)  # a code works once
        challenge = (
            base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode().rstrip("=")
        )
        if client != (CLIENT, SECRET):
            return 401, {"error": "invalid_client"}
        if known is None or challenge != known["challenge"] or form["redirect_uri"] != known["back"]:
            return 400, {"error": "invalid_grant"}
        return 200, {"access_token": "x", "token_type": "Bearer", "id_token": known["token"]}


@contextlib.contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    this = IdentityProvider()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            this.asked.append(self.path)
            if reply := this.replies.get(self.path):
                with contextlib.suppress(OSError):
                    reply(self)
                return
            status, answer = 404, {}
            if self.path == "/.well-known/openid-configuration":
                status, answer = 200, this.say()
            elif self.path == "/keys":
                status, answer = 200, {"keys": this.keys}
            elif self.path == "/token" and self.command == "POST":
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                this.forms.append(form)
                status, answer = this.exchange(form, self.headers.get("Authorization", ""))
            send(self, json.dumps(answer).encode(), status)

        do_POST = do_GET

        def log_message(self, *words: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    this.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield this
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(handler: http.server.BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    """An answer."""
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)
