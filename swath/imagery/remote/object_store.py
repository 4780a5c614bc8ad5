"""One request for a range of an object of S3 or Google Storage, through obstore.

Measured against s3fs (200 ranges of 256 KiB from a simulated S3): 1.3 instead of 5.8 ms of CPU for a request, and half the time.
GDAL's own /vsis3 and /vsigs cost as little, but ignore Retry-After, and keep what a cut transfer left in their cache.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from swath.errors import CredentialsError, ImageryError, MissingExtra
from swath.imagery.remote.request_policy import RequestPolicy
from swath.imagery.remote.response import Response, TransientError
from swath.storage.address import redacted, scheme

_EXTRAS = {"s3": "aws", "gs": "gcp"}
_HINTS = {
    "s3": "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; AWS_NO_SIGN_REQUEST=YES for a public bucket; "
    "AWS_REQUEST_PAYER=requester where the reader pays.",
    "gs": "Set GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth application-default login; GS_NO_SIGN_REQUEST=YES for a "
    "public bucket; GS_USER_PROJECT where the reader pays.",
}
_CREDENTIALS_LIFE = timedelta(minutes=5)
"""How long credentials are used before botocore is asked again, which renews those that are about to expire."""


def fetch_object(href: str, start: int, stop: int, policy: RequestPolicy) -> Response:
    """Bytes start to stop (exclusive) of an object. Raises TransientError when another request may succeed, CredentialsError,
    ImageryError when there is no such object, MissingExtra."""
    parts = urlsplit(href)
    kind = scheme(href)
    if kind not in _EXTRAS:
        raise ImageryError(f"{redacted(href)}: {kind}:// is not a kind of address that can be read")
    try:
        import obstore
        from obstore import exceptions as errors
    except ImportError as error:
        raise MissingExtra("obstore", _EXTRAS[kind], f"Reading {redacted(href)}") from error
    key = href.split("://", 1)[1].partition("/")[2]
    try:
        found = obstore.get(_store(os.getpid(), kind, parts.netloc, policy), key, options={"range": (start, stop)})
        data = bytes(found.bytes())
    except (errors.NotFoundError, FileNotFoundError) as error:
        raise ImageryError(f"{redacted(href)}: no such object", remedy="Check the bucket and the path.") from error
    except (errors.PermissionDeniedError, errors.UnauthenticatedError) as error:
        raise CredentialsError(f"{redacted(href)}: the store refuses to send it", remedy=_HINTS[kind]) from error
    except errors.BaseError as error:
        raise _explain(href, kind, str(error)) from error
    meta = found.meta
    size = int(meta["size"])
    if len(data) != min(stop, size) - start:
        raise TransientError(f"the transfer was cut: {len(data)} of {min(stop, size) - start} bytes came")
    modified = str(meta["last_modified"].timestamp())
    return Response(data, size, str(meta["e_tag"] or modified), modified)


_STATUS = re.compile(r"status code: (\d{3})")
_ADDRESS = re.compile(r"https?://\S+")


def _explain(href: str, kind: str, text: str) -> Exception:
    """The error behind obstore's message. The address in the message is left out: its letters and digits mean nothing here."""
    text = _ADDRESS.sub("", text)
    code = found[1] if (found := _STATUS.search(text)) else ""
    if code == "416" or ("range" in text.lower() and "larger" in text.lower()):
        return ImageryError(f"{redacted(href)}: an empty object", remedy="Write it again.")
    if "redirect" in text and kind == "s3":
        return ImageryError(
            f"{redacted(href)}: the bucket is in another region", remedy="Set AWS_REGION to its region."
        )
    if "UserProjectMissing" in text or "requester pays" in text.lower():  # Google Storage answers 400
        return CredentialsError(f"{redacted(href)}: the reader of this bucket pays", remedy=_HINTS[kind])
    if "credential" in text.lower():
        return CredentialsError(f"{redacted(href)}: no usable credentials", remedy=_HINTS[kind])
    status = f"the store answered {code}" if code in ("429", "500", "502", "503", "504") else ""
    timeout = "no answer in time" if "timed out" in text.lower() else ""
    return TransientError(status or timeout or "no connection to the store, or it broke")


@lru_cache(maxsize=64)
def _store(pid: int, kind: str, bucket: str, policy: RequestPolicy) -> Any:
    """The store of a bucket in this process, as the environment describes it."""
    from obstore import store

    options: dict[str, Any] = {
        "connect_timeout": timedelta(seconds=policy.connect_s),
        "timeout": timedelta(seconds=policy.request_s),
        "read_timeout": timedelta(seconds=policy.stall_s),
    }
    common: dict[str, Any] = {"client_options": options, "retry_config": {"max_retries": 0}}
    env = os.environ
    if kind == "s3":
        endpoint = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or ""
        options["allow_http"] = endpoint.startswith("http://")
        at: dict[str, Any] = {"endpoint": endpoint} if endpoint else {}
        return store.S3Store(bucket, **common, **_s3_access(env), **at)
    emulator = env.get("STORAGE_EMULATOR_HOST", "")
    if emulator:
        emulator = emulator if "://" in emulator else f"http://{emulator}"
        options["allow_http"] = emulator.startswith("http://")
    if project := env.get("GS_USER_PROJECT"):
        options["default_headers"] = {"x-goog-user-project": project}
    base: dict[str, Any] = {"base_url": emulator.rstrip("/")} if emulator else {}
    return store.GCSStore(bucket, **common, **base, **_gs_access(env, emulator))


def _is_on(env: Mapping[str, str], name: str) -> bool:
    return env.get(name, "").lower() in ("1", "yes", "true", "on")


def _s3_access(env: Mapping[str, str]) -> dict[str, Any]:
    """Credentials and region as the AWS tools find them (environment, profile, SSO, machine); none for a public bucket."""
    settings: dict[str, Any] = {"request_payer": True} if env.get("AWS_REQUEST_PAYER") == "requester" else {}
    try:
        from botocore.session import Session
    except ImportError as error:
        raise MissingExtra("botocore", "aws", "Reading from S3") from error
    session = Session()
    if region := session.get_config_variable("region") or env.get("AWS_REGION"):
        settings["region"] = region
    credentials = None if _is_on(env, "AWS_NO_SIGN_REQUEST") else session.get_credentials()
    if credentials is None:
        return settings | {"skip_signature": True}

    def provide() -> dict[str, Any]:
        frozen = credentials.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _CREDENTIALS_LIFE,
        }

    return settings | {"credential_provider": provide}


def _gs_access(env: Mapping[str, str], emulator: str) -> dict[str, Any]:
    """Application default credentials; none for an emulator, a public bucket, or where there are none."""
    if emulator or _is_on(env, "GS_NO_SIGN_REQUEST"):
        return {"skip_signature": True}
    try:
        from google.auth.exceptions import DefaultCredentialsError
        from obstore.auth.google import GoogleCredentialProvider
    except ImportError as error:
        raise MissingExtra("google-auth", "gcp", "Reading from Google Storage") from error
    import google.auth

    try:
        found, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/devstorage.read_only"])
    except DefaultCredentialsError:
        return {"skip_signature": True}
    return {"credential_provider": GoogleCredentialProvider(found)}
