"""A function of the project that a spec names as `module:function`: factories of networks, and functions that are models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from swath.errors import ModelError, SwathError
from swath.module_code import CodeChanged, import_as


def project_function(named: str, what: str, code: str) -> Callable[..., Any]:
    """The function, of the module whose digest is `code`, see swath.module_code. `what` begins messages, such as `unet.safetensors:
    factory`. Raises ModelError where there is no such function, or its code is another by now."""
    name, _, function = named.partition(":")
    if not name or not function:
        raise ModelError(f"{what} {named!r} must be module:function")
    try:
        module = import_as(name, code)
    except CodeChanged as error:
        raise ModelError(f"{what} {named}: {error}", remedy="start the run again") from error
    except ImportError as error:
        remedy = "the module has to be in the project's root or its folder of pipelines, or be installed"
        raise ModelError(f"{what} {named}: cannot import {name}: {error}", remedy=remedy) from error
    except (SwathError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        raised = f"importing {name} raised {type(error).__name__}: {error}"
        raise ModelError(f"{what} {named}: {raised}", remedy=f"try `import {name}` in Python") from error
    if not hasattr(module, function):
        raise ModelError(f"{what} {named}: module {name} has no {function}")
    found = getattr(module, function)
    if not callable(found):
        raise ModelError(f"{what} {named}: is {type(found).__name__}, not a function")
    made: Callable[..., Any] = found
    return made
