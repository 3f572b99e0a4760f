"""Silence: other libraries' notices must not reach the report, nor stop the run as errors."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging as transformers_logging

LOUD = ("tensorflow", "absl", "jax", "keraform")


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings and no log lines below errors inside."""
    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    levels = {name: logging.getLogger(name).level for name in LOUD}
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
        for name, before in levels.items():
            logging.getLogger(name).setLevel(before)
