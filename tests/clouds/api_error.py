"""Error responses of the simulated Compute Engine."""

from __future__ import annotations

from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]


class ApiError(Exception):
    """An error response."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


def invalid(what: str, value: object, why: str) -> ApiError:
    return ApiError(400, "invalid", f"Invalid value for field 'resource.{what}': '{value}'. {why}")


def reason(code: str) -> str:
    """The reason for an error code, such as quotaExceeded for QUOTA_EXCEEDED."""
    first, *others = code.split("_")
    return first.lower() + "".join(each.capitalize() for each in others) if code.isupper() else code


def error_response(status: int, why: str, message: str) -> tuple[int, Json]:
    domain = "usageLimits" if "quota" in why.lower() else "global"
    return status, {
        "error": {"code": status, "message": message, "errors": [{"message": message, "domain": domain, "reason": why}]}
    }
