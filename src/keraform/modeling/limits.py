"""How large a model may be that somebody else's files ask for.

A configuration is a few hundred bytes, and can ask for all the memory there is. So sizes that no
model has are refused when it is read, and while a model is built for a checkpoint, it may not grow
far beyond what the checkpoint holds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from keraform.checkpoints.tensors import StoredTensor
from keraform.errors import KeraformError

_COUNTS = re.compile(r"(layer|label|block|depth|head|expert|stage|group)s?(_per_\w+)?$")
_SIZES = re.compile(
    r"(size|dim|channel|length|position|position_embedding|embd|inner|ctx|ff|_model)s?$"
)
_MOST = {_COUNTS: 2**20, _SIZES: 2**25}  # the longest context is 10,485,760 tokens

_SPARE_NUMBERS = 2**27  # of heads and parts that a checkpoint may lack, half a gigabyte in float32
_SPARE_VARIABLES = 400
_NUMBERS = 64  # times those of the checkpoint, where several may lie in one
_VARIABLES = 4  # times the tensors of the checkpoint, several of which may lie in one


def check_sizes(fields: Mapping[str, Any], path: Path) -> None:
    """Refuses a configuration with a size or a count that no model has.

    Args:
        fields: As JSON has them; those of inner configurations count as well.
        path: The file, for the message.

    Raises:
        KeraformError: There is such a field.
    """
    for name, value in fields.items():
        numbers = value if isinstance(value, list) else [value]
        for number in numbers:
            if isinstance(number, Mapping):
                check_sizes(number, path)
            elif isinstance(number, (int, float)):
                _check_size(name, number, path)


def _check_size(name: str, number: float, path: Path) -> None:
    most = min((most for names, most in _MOST.items() if names.search(name)), default=None)
    if most is not None and abs(number) > most:
        raise KeraformError(
            expected=f"{name} of at most {most} in {path}",
            got=f"{name}={number}"[:100],
            try_next="the config.json that belongs to these weights",
        )


class Bounded(list[keras.Variable]):
    """The variables of a model that is built for a checkpoint, as far as there may be.

    Args:
        stored: The tensors of the checkpoint.
        file_size: The bytes of a file whose tensors are not known yet.
    """

    def __init__(self, stored: Mapping[str, StoredTensor], file_size: int = 0) -> None:
        super().__init__()
        self._held = sum(math.prod(tensor.shape) for tensor in stored.values()) + file_size
        self._most_numbers = _NUMBERS * self._held + _SPARE_NUMBERS
        self._most_variables = _VARIABLES * max(len(stored), file_size // 1000) + _SPARE_VARIABLES
        self._numbers = 0

    def append(self, variable: keras.Variable) -> None:
        """Takes another one.

        Raises:
            KeraformError: The model is too large by now.
        """
        super().append(variable)
        self._numbers += math.prod(variable.shape)
        if self._numbers > self._most_numbers or len(self) > self._most_variables:
            raise KeraformError(
                expected=f"a model for the {self._held} numbers of its checkpoint",
                got=f"a config.json that asks for more than {len(self) - 1} weights "
                f"with {self._numbers} numbers",
                try_next="the config.json that belongs to these weights, or from_config for a new "
                "model",
            )


@contextmanager
def blaming(path: str | Path, what: str) -> Iterator[None]:
    """Whatever fails inside fails because of a file.

    Args:
        path: The file.
        what: What it should be, such as "a configuration".

    Raises:
        KeraformError: In place of any other error; what Keraform cannot do stays as it is.
    """
    try:
        yield
    except (KeraformError, NotImplementedError, ImportError):
        raise
    except Exception as error:
        raise KeraformError(
            expected=f"{what} in {path}",
            got=f"{type(error).__name__}: {error}"[:1000],
            try_next="the file that belongs to these weights, or a newer transformers",
        ) from error
