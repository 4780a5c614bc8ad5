"""An answer of the simulated Compute Engine that is an error."""

from __future__ import annotations

from typing import Any, TypeAlias

Answer: TypeAlias = dict[str, Any]


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


def invalid(what: str, value: object, why: str) -> Refused:
    return Refused(400, "invalid", f"Invalid value for field 'resource.{what}': '{value}'. {why}")


def reason(code: str) -> str:
    """quotaExceeded of QUOTA_EXCEEDED."""
    first, *others = code.split("_")
    return first.lower() + "".join(each.capitalize() for each in others) if code.isupper() else code


def told_error(status: int, why: str, message: str) -> tuple[int, Answer]:
    domain = "usageLimits" if "quota" in why.lower() else "global"
    return status, {
        "error": {"code": status, "message": message, "errors": [{"message": message, "domain": domain, "reason": why}]}
    }
