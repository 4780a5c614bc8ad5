"""Forms as browsers send them."""

from __future__ import annotations

from urllib.parse import parse_qsl

from fastapi import Request

from swath.server.refusals import Refusal

MOST_FIELDS = 2000


async def form_fields(request: Request) -> dict[str, str]:
    """The fields of a form by name; of several values of a name the last. Raises Refusal for anything else."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        raise Refusal("this is no form", status=415)
    try:
        text = (await request.body()).decode()
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, strict_parsing=bool(text))
    except ValueError:
        raise Refusal("the form cannot be read") from None
    return {name: value.replace("\r\n", "\n") for name, value in pairs}
