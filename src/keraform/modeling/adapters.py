"""LoRA on a whole model, and adapters as PEFT keeps them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from keraform.checkpoints.atomic import replaced_together
from keraform.checkpoints.json_files import read_object
from keraform.checkpoints.placing import placed
from keraform.checkpoints.safetensors_files import read_safetensors, write_file
from keraform.checkpoints.save import stored
from keraform.checkpoints.tensors import StoredTensor, in_memory
from keraform.checkpoints.torch_files import read_torch_files
from keraform.errors import KeraformError
from keraform.hub import Repository
from keraform.modeling import adapter_config
from keraform.modeling.changed import forget_functions, require_fresh_optimizer
from keraform.runtime import layers
from keraform.runtime.filling import settle, torch_shape
from keraform.runtime.layers.lora import LowRank, check_mergeable, has_lora
from keraform.runtime.tree import TorchWeight, name_weights, named_layers, named_weights, read

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
_OLDER_NAME = "adapter_model.bin"
_PREFIX = "base_model.model."
# PEFT's names of A and B, which it keeps transposed
_FACTORS = {
    "kernel": ("lora_A.weight", "lora_B.weight"),
    "embeddings": ("lora_embedding_A", "lora_embedding_B"),
}


class Adapters:
    """Gives pretrained models `enable_lora`, and adapters that PEFT reads and writes."""

    def enable_lora(
        self,
        rank: int = 8,
        target_modules: str | list[str] = adapter_config.ALL_LINEAR,
        lora_alpha: float = 8,
        **options: Any,
    ) -> list[str]:
        """Freezes the model, and trains an update of rank `rank` of some of its weights.

        Call it before `fit`. `save_pretrained`, `save` and `save_weights` write merged weights;
        `save_adapter` writes the update alone.

        Args:
            rank: The size between the two factors of an update.
            target_modules: Which dense layers and tables: names or ends of their paths, a regular
                expression for whole paths, or "all-linear" for all dense layers but the head.
            lora_alpha: Updates are scaled by `lora_alpha / rank`.
            **options: Others of PEFT's `LoraConfig`: modules_to_save (layers that are trained as a
                whole), bias ("none", "all", "lora_only"), lora_dropout, use_rslora, rank_pattern,
                alpha_pattern, exclude_modules, layers_to_transform, layers_pattern, task_type.

        Returns:
            The paths of the layers with an update.

        Raises:
            KeraformError: Nothing matches, a layer of another kind does, an unknown option, or a
                model that was trained or has an adapter.
        """
        fields = {
            "peft_type": "LORA",
            "r": rank,
            "lora_alpha": lora_alpha,
            "target_modules": target_modules,
            **options,
        }
        unknown = sorted(set(options) - adapter_config.KNOWN)
        if unknown:
            raise KeraformError(
                expected=f"options among {', '.join(sorted(adapter_config.KNOWN))}",
                got=", ".join(unknown),
                try_next="help(model.enable_lora)",
            )
        if target_modules == adapter_config.ALL_LINEAR:
            fields["target_modules"] = _linear_paths(self, fields)
        fields = adapter_config.with_head(fields)
        paths = [
            path
            for path, _ in named_layers(self)
            if path and adapter_config.is_target(fields, path)
        ]
        if not paths:
            raise KeraformError(
                expected="target_modules that name layers of the model",
                got=f"{target_modules!r}, which matches none of {type(self).__name__}",
                try_next="one of " + ", ".join(sorted({p.split(".")[-1] for p in _linear(self)})),
            )
        ranks = {path: adapter_config.rank(fields, path) for path in paths}
        self._put_adapter("enable_lora", fields, ranks)
        return paths

    def load_adapter(
        self, adapter: str | os.PathLike[str], is_trainable: bool = False, **kwargs: Any
    ) -> None:
        """Adds an adapter that PEFT has saved: LoRA, and layers that were trained as a whole.

        PEFT itself is not needed.

        Args:
            adapter: A directory with adapter_config.json, or an id on the Hub.
            is_trainable: Train it on; else the whole model is frozen, as with PEFT.
            **kwargs: `cache_dir`, `force_download`, `local_files_only`, `token`, `revision`,
                `subfolder`.

        Raises:
            KeraformError: Another kind than plain LoRA, or keys or shapes that are not the model's.
        """
        source = Repository.of(adapter, **kwargs)
        file = source.require(CONFIG_NAME)
        fields = read_object(file)
        adapter_config.check(fields, str(file))
        factors, others = _sorted(_read(source))
        known = dict(named_layers(self))
        weights = {weight.key: weight for weight in named_weights(self)}
        _check_keys(self, fields, factors, others, weights)
        ranks = {path: _rank(known[path], found, path) for path, found in factors.items()}
        _check_whole(weights, others)
        self._put_adapter("load_adapter", fields, ranks)
        for path, found in factors.items():
            names = _FACTORS[known[path].lora_attribute]
            for factor, name in zip(known[path].lora_factors(), names, strict=True):
                settle(factor, np.transpose(found[name].read()))
        for weight, value in placed((weights[key], tensor) for key, tensor in others.items()):
            settle(weight.variable, value)
        if not is_trainable:
            for variable in self.trainable_variables:
                variable.trainable = False

    def save_adapter(self, save_directory: str | os.PathLike[str]) -> None:
        """Writes the adapter alone, so that PEFT and `load_adapter` read it.

        Args:
            save_directory: A directory; made if need be.

        Raises:
            KeraformError: The model has no adapter.
        """
        fields = self.__dict__.get("_adapter")
        if fields is None:
            raise KeraformError(
                expected="a model with an adapter",
                got=f"a {type(self).__name__} without one",
                try_next="model.enable_lora(rank=8), or save_pretrained(directory)",
            )
        state = {_PREFIX + key: value for key, value in _adapter_state(self, fields).items()}
        base = fields.get("base_model_name_or_path") or self.name_or_path
        written = {**fields, "base_model_name_or_path": base, "inference_mode": True}
        with replaced_together(Path(save_directory), _is_adapter) as new:
            write_file(new / WEIGHTS_NAME, in_memory(state))
            text = json.dumps(written, indent=2, sort_keys=True) + "\n"
            (new / CONFIG_NAME).write_text(text, encoding="utf-8")

    def merge_lora(self) -> None:
        """Adds the updates to the weights, and takes LoRA away.

        Raises:
            KeraformError: A weight with an update is tied to another layer's.
        """
        require_fresh_optimizer(self, "merge_lora")
        check_mergeable(self)
        for _, layer in named_layers(self):
            if has_lora(layer):
                layer.merge_lora()
        self.__dict__.pop("_adapter", None)
        forget_functions(self)

    def save_own_variables(self, store: Any) -> None:
        """Keras's, of which files hold merged weights."""
        check_mergeable(self)
        super().save_own_variables(store)  # type: ignore[misc]

    def _put_adapter(self, method: str, fields: dict[str, Any], ranks: dict[str, int]) -> None:
        """Gives layers their factors, and freezes everything that is not to be trained."""
        require_fresh_optimizer(self, method)
        known = dict(named_layers(self))
        wrong = [path for path in ranks if not isinstance(known[path], LowRank)]
        if self.__dict__.get("_adapter") is not None or wrong:
            raise KeraformError(
                expected="a model without an adapter, and dense layers or tables as target_modules",
                got=", ".join(f"{path}, a {type(known[path]).__name__}" for path in wrong[:5])
                or "a model that has one",
                try_next="other target_modules" if wrong else "model.merge_lora() first",
            )
        for path, rank in ranks.items():
            known[path].check_lora(rank)
        for weight in named_weights(self):
            weight.variable.trainable = _is_trained(fields, weight, ranks)
        for path, rank in ranks.items():
            known[path].enable_lora(rank, adapter_config.alpha(fields, path, rank))
            known[path].lora_dropout = fields.get("lora_dropout") or 0.0
        self.__dict__["_adapter"] = fields
        name_weights(self)
        forget_functions(self)


def _linear(model: Any) -> list[str]:
    return [path for path, layer in named_layers(model) if isinstance(layer, layers.Dense)]


def _linear_paths(model: Any, fields: dict[str, Any]) -> list[str]:
    """All dense layers, without the output embeddings or the head of a classifier."""
    output = model.get_output_embeddings()
    heads = ("classifier", "score") if fields.get("task_type") == "SEQ_CLS" and not output else ()
    known = dict(named_layers(model))
    return [path for path in _linear(model) if known[path] is not output and path not in heads]


def _is_trained(fields: dict[str, Any], weight: TorchWeight, ranks: dict[str, int]) -> bool:
    """Whether a weight of the model itself is trained beside the updates."""
    layer, _, name = weight.key.rpartition(".")
    places = layer.split(".")
    if any(
        adapter_config.is_saved(fields, ".".join(places[: length + 1]))
        for length in range(len(places))
    ):
        return True
    if name != "bias":
        return False
    kind = fields.get("bias") or "none"
    return kind == "all" or (kind == "lora_only" and layer in ranks)


def _adapter_state(model: Any, fields: dict[str, Any]) -> dict[str, np.ndarray]:
    """PEFT's keys and tensors, without their prefix."""
    state = {}
    ranks = {}
    for path, layer in named_layers(model):
        if has_lora(layer):
            ranks[path] = layer.lora_rank
            names = _FACTORS[layer.lora_attribute]
            for factor, name in zip(layer.lora_factors(), names, strict=True):
                value = ops.convert_to_numpy(read(factor))
                state[f"{path}.{name}"] = np.ascontiguousarray(np.transpose(value))
    for weight in named_weights(model):
        if _is_trained(fields, weight, ranks):
            layer, _, name = weight.key.rpartition(".")
            key = f"{layer}.base_layer.{name}" if layer in ranks else weight.key
            state[key] = np.ascontiguousarray(stored(weight).read())
    return state


def _is_adapter(name: str) -> bool:
    return name in (WEIGHTS_NAME, _OLDER_NAME)


def _read(source: Repository) -> dict[str, StoredTensor]:
    file = source.find(WEIGHTS_NAME)
    if file is not None:
        return read_safetensors([file])
    older = source.find(_OLDER_NAME)
    return read_torch_files([older or source.require(WEIGHTS_NAME)])


def _sorted(
    tensors: dict[str, StoredTensor],
) -> tuple[dict[str, dict[str, StoredTensor]], dict[str, StoredTensor]]:
    """The factors by layer and name, and the weights of the model itself by key."""
    factors: dict[str, dict[str, StoredTensor]] = {}
    others: dict[str, StoredTensor] = {}
    names = [name for pair in _FACTORS.values() for name in pair]
    for full, tensor in tensors.items():
        key = full.removeprefix(_PREFIX)
        name = next((name for name in names if key.endswith(f".{name}")), None)
        if name is not None:
            factors.setdefault(key.removesuffix(f".{name}"), {})[name] = tensor
        elif ".original_module." not in key:  # the layer as it was before it was trained
            for wrapper in (".base_layer.", ".modules_to_save."):
                key = key.replace(wrapper, ".")
            others[key] = tensor
    if not factors:
        raise KeraformError(
            expected="LoRA's factors (...lora_A.weight, ...lora_B.weight) in an adapter's weights",
            got=", ".join(list(tensors)[:5]) or "no tensors",
            try_next="the directory that PeftModel.save_pretrained wrote",
        )
    return factors, others


def _check_keys(
    model: Any,
    fields: dict[str, Any],
    factors: dict[str, Any],
    others: dict[str, StoredTensor],
    weights: dict[str, TorchWeight],
) -> None:
    """Makes sure that the model has everything that the adapter names."""
    known = dict(named_layers(model))
    unknown = [key for key in factors if not isinstance(known.get(key), LowRank)]
    unknown += [key for key in others if key not in weights]
    if unknown:
        more = f" and {len(unknown) - 5} others" if len(unknown) > 5 else ""
        raise KeraformError(
            expected=f"an adapter of {type(model).__name__}, for dense layers and tables in it",
            got=f"one with {', '.join(sorted(unknown)[:5])}{more}",
            try_next=f"the class it was made for ({fields.get('task_type') or 'see its card'})",
        )


def _rank(layer: Any, found: dict[str, StoredTensor], path: str) -> int:
    """The rank of one layer's factors, whose shapes are checked."""
    first, second = (found.get(name) for name in _FACTORS[layer.lora_attribute])
    rows, columns = layer._lora_sides()
    if (
        first is None
        or second is None
        or len(first.shape) != 2
        or first.shape[1] != rows
        or second.shape != (columns, first.shape[0])
    ):
        got = {name: tensor.shape for name, tensor in found.items()}
        raise KeraformError(
            expected=f"factors of shape (r, {rows}) and ({columns}, r) for {path}",
            got=f"{got} in {next(iter(found.values())).source}",
            try_next="the model that the adapter was made for, with its vocabulary",
        )
    return first.shape[0]


def _check_whole(weights: dict[str, TorchWeight], others: dict[str, StoredTensor]) -> None:
    """Shapes of weights that were trained as a whole, and that none changes a tied one as well."""
    for key, tensor in others.items():
        weight = weights[key]
        if torch_shape(weight) != tensor.shape:
            raise KeraformError(
                expected=f"{key} of shape {torch_shape(weight)}",
                got=f"shape {tensor.shape} in {tensor.source}",
                try_next="model.resize_token_embeddings(...) before load_adapter, or the model "
                "that the adapter was made for",
            )
        for name, other in weights.items():
            if name != key and other.variable is weight.variable:
                # PEFT also writes tables that have LoRA, as they were
                wanted = others[name] if name in others else stored(weight)
                value = tensor.read()
                if not np.array_equal(wanted.read().astype(value.dtype), value):
                    raise KeraformError(
                        expected=f"one value for {key} and {name}, which are tied",
                        got=f"another for {key} in {tensor.source}",
                        try_next="config.tie_word_embeddings = False, and load the model with it",
                    )
