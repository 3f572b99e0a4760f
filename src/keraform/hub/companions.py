"""What lies beside a model's weights and goes where they go: tokenizer, processor, generation."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keraform.errors import KeraformError
from keraform.hub.resolve import Repository

logger = logging.getLogger(__name__)

_CUSTOM_GENERATE = "custom_generate"  # a literal in `GenerationMixin.load_custom_generate`, too


def copy_companions(
    source: Repository, config: Any, has: Callable[[str], bool], target: Path
) -> None:
    """Copies the files that belong to a checkpoint beside its weights, as they are.

    What is there already is left alone, and a tokenizer or processor there is not mixed with
    another one's files. Of a repository on the Hub, what the loaded revision has is downloaded;
    without a connection, what is in the cache is taken.

    Args:
        source: Where the model came from.
        config: The model's configuration, which tells what its tokenizer's files are called.
        has: Whether the place that the copies are for has a file of this name.
        target: Where the copies go.
    """
    processing, generation = processing_files(source, config), _generation_files()
    origin = _folder(source, [*processing, *generation])
    if origin is None:
        return
    if any(map(has, processing)):
        processing = []
    for name in [*processing, *generation]:
        if has(name) or (target / name).exists():
            continue
        if (origin / name).is_dir():
            shutil.copytree(origin / name, target / name)
        elif (origin / name).is_file():
            shutil.copyfile(origin / name, target / name)


def processing_files(source: Repository, config: Any) -> list[str]:
    """The names of files (and directories) that tokenizers and processors consist of.

    Args:
        source: Where the model came from; its tokenizer's class has names for its vocabularies.
        config: The model's configuration.
    """
    from transformers.tokenization_utils_base import (
        ADDED_TOKENS_FILE,
        FULL_TOKENIZER_FILE,
        SPECIAL_TOKENS_MAP_FILE,
        TOKENIZER_CONFIG_FILE,
    )
    from transformers.utils import (
        AUDIO_TOKENIZER_NAME,
        FEATURE_EXTRACTOR_NAME,
        IMAGE_PROCESSOR_NAME,
        PROCESSOR_NAME,
        VIDEO_PROCESSOR_NAME,
    )
    from transformers.utils.hub import (
        CHAT_TEMPLATE_DIR,
        CHAT_TEMPLATE_FILE,
        LEGACY_PROCESSOR_CHAT_TEMPLATE_FILE,
    )

    processors = [FEATURE_EXTRACTOR_NAME, IMAGE_PROCESSOR_NAME, VIDEO_PROCESSOR_NAME]
    processors += [PROCESSOR_NAME, AUDIO_TOKENIZER_NAME]
    templates = [CHAT_TEMPLATE_FILE, CHAT_TEMPLATE_DIR, LEGACY_PROCESSOR_CHAT_TEMPLATE_FILE]
    tokenizer = [TOKENIZER_CONFIG_FILE, FULL_TOKENIZER_FILE]
    tokenizer += [ADDED_TOKENS_FILE, SPECIAL_TOKENS_MAP_FILE]
    vocabularies = _vocabularies(_find(source, TOKENIZER_CONFIG_FILE), config)
    return list(dict.fromkeys([*tokenizer, *vocabularies, *processors, *templates]))


def _generation_files() -> list[str]:
    from transformers.utils import GENERATION_CONFIG_NAME

    return [GENERATION_CONFIG_NAME, _CUSTOM_GENERATE]


def _vocabularies(tokenizer_config: Path | None, config: Any) -> list[str]:
    """The vocabulary files of the tokenizer that the file names, or the model type has."""
    from transformers.models.auto.tokenization_auto import (
        TOKENIZER_MAPPING_NAMES,
        tokenizer_class_from_name,
    )

    named = [TOKENIZER_MAPPING_NAMES.get(config.model_type), "TokenizersBackend"]
    if tokenizer_config is not None:
        with contextlib.suppress(ValueError):  # damaged: its own reader says so
            stored = json.loads(tokenizer_config.read_text(encoding="utf-8"))
            named.append((stored.get("tokenizer_class") or "").removesuffix("Fast"))
    found: list[str] = []
    for name in filter(None, named):
        with contextlib.suppress(ImportError):  # a package that this tokenizer needs
            found += getattr(tokenizer_class_from_name(name), "vocab_files_names", {}).values()
    return found


def _folder(source: Repository, names: list[str]) -> Path | None:
    """A directory with the source's files of these names."""
    if source.is_local:
        return source.folder
    from huggingface_hub import snapshot_download
    from transformers.utils import CONFIG_NAME

    inside = source.options.get("subfolder", "")
    start = f"{inside}/" if inside else ""
    options = {key: value for key, value in source.options.items() if key in _DOWNLOAD}
    patterns = [f"{start}{name}{end}" for name in names for end in ("", "/*")]
    try:
        return Path(snapshot_download(source.name, allow_patterns=patterns, **options)) / inside
    except (OSError, ValueError) as error:
        logger.info("%s: only what is in the cache is carried along: %s", source.name, error)
    config = _find(source, CONFIG_NAME)
    return None if config is None else config.parent


def _find(source: Repository, name: str) -> Path | None:
    """A file; None, too, where the source is gone or out of reach."""
    try:
        return source.find(name)
    except KeraformError:
        return None


_DOWNLOAD = ("cache_dir", "local_files_only", "revision", "token")
