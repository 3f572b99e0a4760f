"""What loading weights said: those without a place, those left over, those of another shape."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LoadReport:
    """Torch's weights that the port has no place for, and the port's that torch does not have."""

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every weight found its place."""
        return not (self.missing or self.unexpected or self.mismatched)

    def check(self) -> None:
        """Raises ValueError where a weight is missing, left over or of another shape."""
        if not self.complete:
            raise ValueError(f"the weights do not fit: {self}")

    def __str__(self) -> str:
        parts = {
            "missing": self.missing,
            "left over": self.unexpected,
            "wrong shape": self.mismatched,
        }
        return "; ".join(
            f"{len(keys)} {name}: {_some(keys)}" for name, keys in parts.items() if keys
        )


def _some(keys: tuple[str, ...], most: int = 3) -> str:
    return ", ".join(keys[:most]) + (", ..." if len(keys) > most else "")
