"""The table class behind upstream's named implementations of attention, masks and experts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, ClassVar


class GeneralInterface(MutableMapping):
    """A mapping with entries of its class, seen by all instances, and entries of its own."""

    _global_mapping: ClassVar[dict[str, Callable]] = {}

    def __init__(self) -> None:
        self._local_mapping: dict[str, Callable] = {}

    def __getitem__(self, key: str) -> Callable:
        if key in self._local_mapping:
            return self._local_mapping[key]
        return self._global_mapping[key]

    def __setitem__(self, key: str, value: Callable) -> None:
        self._local_mapping[key] = value

    def __delitem__(self, key: str) -> None:
        del self._local_mapping[key]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._global_mapping, **self._local_mapping})

    def __len__(self) -> int:
        return len(self._global_mapping.keys() | self._local_mapping.keys())

    @classmethod
    def register(cls, key: str, value: Callable) -> None:
        """Add an implementation that every instance of this class offers."""
        cls._global_mapping[key] = value

    def valid_keys(self) -> list[str]:
        """The names of all implementations."""
        return list(self.keys())

    def resolve(self, name: str | None, default: Callable, what: str) -> Callable:
        """The implementation called `name`; `default` for "eager" and for none at all."""
        if name is None or name == "eager":
            return self.get("eager", default)
        if name not in self:
            raise KeyError(
                f"Expected the name of {what} implementation; got {name!r}. "
                f"Use one of {['eager', *sorted(self.valid_keys())]}, or add your own with "
                f"{type(self).__name__}.register({name!r}, function)."
            )
        return self[name]

    def get_interface(self, name: str | None, default: Callable) -> Any:
        """As `resolve`; subclasses say what they hold."""
        return self.resolve(name, default, "an")
