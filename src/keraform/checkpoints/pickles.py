"""What a pickle may do that holds tensors: its operations are looked at before any of them runs."""

from __future__ import annotations

import pickletools
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from keraform.checkpoints.report import damaged_error
from keraform.errors import KeraformError

_MOST_OPERATIONS = 5_000_000  # of one pickle; that of 70,000 tensors has as many
# What a pickle of tensors consists of. The others import by number, call constructors, or repeat
# what was last.
OPERATIONS = frozenset(
    "MARK STOP POP POP_MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 FLOAT "
    "BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINBYTES "
    "SHORT_BINBYTES TUPLE EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 LIST EMPTY_LIST APPEND APPENDS DICT "
    "EMPTY_DICT SETITEM SETITEMS PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET MEMOIZE GLOBAL "
    "STACK_GLOBAL REDUCE BUILD BINPERSID PROTO FRAME".split()
)
_PUTS = frozenset(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"))
_GETS = frozenset(("GET", "BINGET", "LONG_BINGET"))


def check_operations(path: Path, file: BinaryIO) -> None:
    """Looks at each operation of a pickle without running it; of the stack, it knows the kinds.

    Raises:
        KeraformError: One of them is not needed for tensors; or it remembers something at a place
            so far off that all memory would go, or uses a tuple again, of which keys can be made
            whose hash takes for ever; or there are too many.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for count, (operation, argument, _) in enumerate(pickletools.genops(file)):
        name = operation.name
        if name not in OPERATIONS:
            refuse(path, f"a pickle with the operation {name}")
        if count > _MOST_OPERATIONS:
            refuse(path, f"a pickle of more than {_MOST_OPERATIONS} operations")
        if name in _PUTS:
            place = len(memo) if name == "MEMOIZE" else int(argument or 0)
            if not 0 <= place <= count:
                damage(path, f"a pickle that remembers at {argument}")
            memo[place] = stack[-1]
        elif name in _GETS and memo[int(argument or 0)] is pickletools.pytuple:
            refuse(path, "a pickle that uses a tuple twice")
        else:
            _move(stack, operation)


def _move(stack: list[Any], operation: pickletools.OpcodeInfo) -> None:
    """What an operation does to the stack."""
    taken = operation.stack_before
    if pickletools.markobject in taken:
        while stack.pop() is not pickletools.markobject:
            pass
        taken = taken[: taken.index(pickletools.markobject)]
    if len(taken) > len(stack):
        raise ValueError(f"{operation.name} on an empty stack")
    left = stack[-2:-1] if operation.name == "BUILD" else operation.stack_after
    del stack[len(stack) - len(taken) :]
    stack += left


def damage(path: Path, what: str, cause: Exception | None = None) -> NoReturn:
    """Stops at a file that is damaged."""
    raise damaged_error(path, "complete file that torch has saved", what) from cause


def refuse(path: Path, what: str) -> NoReturn:
    """Stops at something in a file that tensors do not need."""
    raise KeraformError(
        expected="tensors by their names, and nothing else",
        got=f"{what} in {path}",
        try_next="the checkpoint in safetensors, or torch.save(model.state_dict(), ...) with torch",
    )
