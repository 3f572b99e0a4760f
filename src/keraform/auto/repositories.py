"""Models whose code lies in their repository: translated like any other, where the user allows it.

The names in a configuration's `auto_map` say which file has which class. The configuration's file
is imported, by Transformers itself; the modeling file and those that it imports are read and
translated, so that neither torch nor any of their statements runs.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedConfig, dynamic_module_utils

from keraform import translate
from keraform.auto.tables import ALIASES
from keraform.errors import KeraformError
from keraform.translate.source import REPOSITORIES, allow

logger = logging.getLogger(__name__)

_REFERENCE = re.compile(r"(?:(?P<repository>(?:(?!--)[\w./-])+)--)?(?P<module>\w+)\.(?P<name>\w+)")
# what Transformers asks of the place that code comes from
_OPTIONS = (
    "cache_dir", "force_download", "local_files_only", "proxies", "revision", "token",
)  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """A class in a repository's file.

    Args:
        repository: The directory or id.
        module: The file's name, without its ending.
        name: The class.
        auto_class: Which Auto class names it, without the TF prefix.
        options: Of the Hub, for the file.
    """

    repository: str
    module: str
    name: str
    auto_class: str
    options: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.module}.py of {self.repository}"


def reference_in(
    auto_map: Any,
    auto_class: str,
    repository: str,
    options: Mapping[str, Any],
    code_revision: str | None = None,
) -> Reference | None:
    """The class that an `auto_map` has for an Auto class; None when there is none.

    Args:
        auto_map: Of a configuration, as its file has it.
        auto_class: Such as "AutoModel", without the TF prefix.
        repository: Where the configuration comes from.
        options: Of the Hub, for that.
        code_revision: The revision of the code, where it is another than the checkpoint's.

    Raises:
        KeraformError: The entry names no class of a file.
    """
    names = [auto_class, *ALIASES.get(auto_class, ())] if isinstance(auto_map, Mapping) else []
    found = next((name for name in names if name in auto_map), None)
    if found is None:
        return None
    match = _REFERENCE.fullmatch(auto_map[found]) if isinstance(auto_map[found], str) else None
    if match is None:
        raise KeraformError(
            expected=f"{found} in the auto_map of {repository}, such as modeling_x.XModel",
            got=repr(auto_map[found])[:200],
            try_next="the repository's own page, for how it is to be loaded",
        )
    where = match["repository"] or repository
    kept = {name: options[name] for name in _OPTIONS if name in options}
    if where != repository:
        kept.pop("revision", None)
    if code_revision is not None:
        kept["revision"] = code_revision
    return Reference(where, match["module"], match["name"], found, kept)


def is_allowed(reference: Reference | None, trust: bool | None, has_own: bool, name: str) -> bool:
    """Whether a repository's code counts: it is there, and it was allowed.

    Args:
        reference: The class there.
        trust: What the user said of it.
        has_own: Whether Transformers has a class of its own, which else is meant.
        name: The checkpoint.

    Raises:
        KeraformError: There is only the repository's code, and it was not allowed.
    """
    if reference is None or trust:
        return reference is not None
    if has_own:
        return False
    raise KeraformError(
        expected=f"trust_remote_code=True for {name}, whose code is its own",
        got=f"trust_remote_code={trust}; with True, configurations are imported and models "
        f"translated, from {reference}",
        try_next=f"read that file, then from_pretrained({name!r}, trust_remote_code=True, "
        "code_revision=...), which keeps to what you have read",
    )


def configuration(
    reference: Reference, name: str, code_revision: str | None, **kwargs: Any
) -> tuple[PreTrainedConfig, dict[str, Any]]:
    """The configuration of a class in a repository, which Transformers imports.

    Args:
        reference: The class.
        name: The checkpoint.
        code_revision: The revision of the code.
        **kwargs: Of `from_pretrained`.

    Returns:
        The configuration, and the keywords that it has no field for.

    Raises:
        KeraformError: The file is not there, or cannot be imported.
    """
    with _blaming(reference):
        return AutoConfig.from_pretrained(
            name,
            trust_remote_code=True,
            code_revision=code_revision,
            return_unused_kwargs=True,
            **kwargs,
        )


def ported(reference: Reference) -> type:
    """The port of a class in a repository.

    Args:
        reference: The class.

    Raises:
        KeraformError: The file or the class is not there, or the port cannot be imported.
    """
    with _blaming(reference):
        module = torch_module(reference)
        port = importlib.import_module(translate.port_name(module))
        refusals = translate.translation(module).refusals
    for each in refusals:
        logger.warning("%s: refused, raises when it is reached: %s", reference, each.text)
    found = getattr(port, f"TF{reference.name}", None)
    if found is None:
        raise KeraformError(
            expected=f"a class {reference.name} in {reference}",
            got="none of that name",
            try_next="the repository's own page, for how it is to be loaded",
        )
    found._auto_class = reference.auto_class
    found._code_files = _files(module)
    return found


def torch_module(reference: Reference) -> str:
    """The module of a reference, by the name that the translator knows it by from now on. Its file,
    and those that it imports beside it, are copied to where Transformers keeps such files.

    Args:
        reference: A class there.
    """
    with _only_copied():
        copied = dynamic_module_utils.get_cached_module_file(
            reference.repository, f"{reference.module}.py", **reference.options
        )
    path = Path(dynamic_module_utils.HF_MODULES_CACHE) / copied
    package = allow(".".join(Path(copied).parent.parts), path.parent)
    return f"{package}.{reference.module}"


def is_repositorys(cls: type) -> bool:
    """Whether a class is a port of a repository's code.

    Args:
        cls: A class.
    """
    return f".{REPOSITORIES}." in cls.__module__


def _files(module: str) -> tuple[Path, ...]:
    """The file of a module, and those that it imports beside it."""
    from keraform.translate.source import module_path

    path = module_path(module)
    assert path is not None
    return (path, *map(Path, dynamic_module_utils.get_relative_import_files(path)))


@contextmanager
def _only_copied() -> Iterator[None]:
    """Transformers imports every package that a file mentions before it copies that file; a file
    that is translated needs none of them.
    """
    check = dynamic_module_utils.check_imports
    dynamic_module_utils.check_imports = dynamic_module_utils.get_relative_imports
    try:
        yield
    finally:
        dynamic_module_utils.check_imports = check


@contextmanager
def _blaming(reference: Reference) -> Iterator[None]:
    try:
        yield
    except (KeraformError, NotImplementedError):
        raise
    except Exception as error:  # whatever somebody else's code does
        raise KeraformError(
            expected=f"code that can be imported in {reference}",
            got=f"{type(error).__name__}: {error}"[:1000],
            try_next=f"keraform port {reference.module}.py, in a copy of the repository",
        ) from error
