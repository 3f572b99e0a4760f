"""Names that upstream has changed: code that uses the older one runs too, whichever release wrote
it.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

# Older name -> newer name, of the seams' arguments and of the fields of outputs.
RENAMED = {"past_key_values": "cache", "cache_params": "cache"}


def with_newer_names(given: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """`given` by the names that are known: an older one that is not becomes the newer one.

    Args:
        given: Values by name.
        known: Something that has the names that are known as its keys.
    """
    return {newer_name(name, known): value for name, value in given.items()}


def newer_name(name: str, known: Mapping[str, Any]) -> str:
    """The newer name, where that is the one that is known.

    Args:
        name: An older name, or any other.
        known: Something that has the names that are known as its keys.
    """
    newer = RENAMED.get(name, name)
    return newer if name not in known and newer in known else name


def takes_older_names(function: Callable) -> Callable:
    """Lets a seam be called by the names of arguments that any release has for them."""
    parameters = inspect.signature(function).parameters

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **with_newer_names(kwargs, parameters))

    return wrapper


def deprecate_kwarg(
    old_name: str, version: str, new_name: str | None = None, **options: Any
) -> Callable[[Callable], Callable]:
    """Lets a function be called by an argument's older name, with a warning.

    Args:
        old_name: The older name.
        version: The release of Transformers that will no longer know it.
        new_name: The newer name; without one the argument is only warned about.
        options: Accepted; upstream uses them for messages and errors of its own.
    """

    def decorator(function: Callable) -> Callable:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if old_name in kwargs:
                instead = f"Use `{new_name}` instead." if new_name else "Leave it out."
                warnings.warn(
                    f"`{old_name}` of `{function.__qualname__}` is deprecated and will be gone in "
                    f"transformers {version}. {instead}",
                    FutureWarning,
                    stacklevel=2,
                )
                if new_name is not None:
                    value = kwargs.pop(old_name)
                    kwargs.setdefault(new_name, value)
            return function(*args, **kwargs)

        wrapper.older_names = {old_name, *older_names(function)}  # type: ignore[attr-defined]
        return wrapper

    return decorator


def older_names(function: Callable) -> set[str]:
    """The older names of arguments that a function's decorators know.

    Args:
        function: A function, decorated or not.
    """
    return getattr(function, "older_names", set())
