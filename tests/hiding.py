"""Machines on which a package is not installed, for code that is run in a fresh process."""

from __future__ import annotations


def without(*packages: str) -> str:
    """Code to be run first. `sys.modules[name] = None` would not do: SciPy reads what stands there.

    Args:
        *packages: What shall not be found.
    """
    return (
        "import sys; from importlib.machinery import PathFinder\n"
        "class Without(PathFinder):\n"
        "    def find_spec(name, *rest):\n"
        f"        return None if name in {packages!r} else PathFinder.find_spec(name, *rest)\n"
        "sys.meta_path[sys.meta_path.index(PathFinder)] = Without\n"
    )
