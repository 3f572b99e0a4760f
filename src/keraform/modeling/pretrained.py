"""What every model has, a `keras.Model` or an inner layer: configuration, weights, ties."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, get_type_hints

import keras
from transformers import GenerationConfig, PreTrainedConfig

from keraform.errors import explain
from keraform.modeling import initialization, tying
from keraform.modeling.adapters import Adapters
from keraform.modeling.attention import choose_implementations
from keraform.modeling.building import (
    deferred_values,
    dtype_scope,
    initialize,
    is_deferred,
    lay_out,
)
from keraform.modeling.checkpointing import GradientCheckpointing
from keraform.modeling.embeddings import EmbeddingAccess
from keraform.modeling.loading import Loading
from keraform.modeling.quantizing import Quantization
from keraform.modeling.resizing import Resizing
from keraform.modeling.saving import Saving
from keraform.modeling.serialization import Serializable
from keraform.modeling.sharing import Sharing
from keraform.runtime import layers
from keraform.runtime.ops import seed_generator
from keraform.runtime.tracing import is_tracing
from keraform.runtime.tree import children, name_weights, named_layers, named_weights

logger = logging.getLogger(__name__)

_COLLECTED = (
    "_keys_to_ignore_on_load_missing",
    "_keys_to_ignore_on_load_unexpected",
    "_keep_in_fp32_modules",
    "_keep_in_fp32_modules_strict",
)


class PreTrainedModel(
    Loading,
    Saving,
    Sharing,
    Serializable,
    EmbeddingAccess,
    GradientCheckpointing,
    Resizing,
    Adapters,
    Quantization,
):
    """Mixin of all pretrained models, before `MainLayer` or `Model` among the bases.

    Class attributes have upstream's names and meanings: `base_model_prefix`, `main_input_name`,
    `_tied_weights_keys`, `_keys_to_ignore_on_load_missing`, `_can_record_outputs` and so on.

    Args:
        config: The model's configuration.
        **kwargs: Of the Keras class (`name`, `trainable`, `dtype`).
    """

    _is_pretrained_model: ClassVar[bool] = True
    config_class: ClassVar[type[PreTrainedConfig] | None] = None
    generation_config_class: ClassVar[type[GenerationConfig]] = GenerationConfig
    base_model_prefix: ClassVar[str] = ""
    main_input_name: ClassVar[str] = "input_ids"
    input_modalities: ClassVar[Any] = "text"
    model_tags: list[str] | None = None
    # of a class whose code lies in a repository: the Auto class that names it, and its files
    _auto_class: ClassVar[str | None] = None
    _code_files: ClassVar[tuple[Path, ...]] = ()

    _tied_weights_keys: ClassVar[dict[str, str] | None] = None
    _keys_to_ignore_on_load_missing: Any = None
    _keys_to_ignore_on_load_unexpected: Any = None
    _keys_to_ignore_on_save: Any = None
    _keep_in_fp32_modules: Any = None
    _keep_in_fp32_modules_strict: Any = None
    _no_split_modules: ClassVar[Any] = None
    _skip_keys_device_placement: ClassVar[Any] = None
    _can_record_outputs: ClassVar[dict[str, Any] | None] = None
    _is_stateful: ClassVar[bool] = False

    _supports_sdpa: ClassVar[bool] = False
    _supports_flash_attn: ClassVar[bool] = False
    _supports_flex_attn: ClassVar[bool] = False
    _supports_attention_backend: ClassVar[bool] = False
    _can_compile_fullgraph: ClassVar[bool] = False
    supports_gradient_checkpointing: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "config_class" not in cls.__dict__:
            annotated = _config_annotation(cls)
            if annotated is not None:
                cls.config_class = annotated

    def __init__(self, config: PreTrainedConfig, *args: Any, **kwargs: Any) -> None:
        if not isinstance(config, PreTrainedConfig):
            name = type(self).__name__
            raise TypeError(
                explain(
                    f"a configuration (PreTrainedConfig) as first argument of {name}",
                    f"{type(config).__name__} {config!r}"[:200],
                    f"{name}.from_pretrained(...) for a checkpoint",
                )
            )
        super().__init__(**kwargs)
        if keras.backend.backend() == "jax":  # which traces no state but the model's own
            self._random_numbers = keras.random.SeedGenerator()
        self.config = config
        self.name_or_path = config.name_or_path
        self.loss_type = _loss_type(type(self))
        choose_implementations(config)
        if self.can_generate():
            self.generation_config = _generation_config(type(self), config)

    def _named_call(self, *args: Any, **kwargs: Any) -> Any:
        with seed_generator(self.__dict__.get("_random_numbers")):
            return super()._named_call(*args, **kwargs)  # type: ignore[misc]

    def stateless_call(self, *args: Any, **kwargs: Any) -> Any:
        """Keras's call of a pure function, in which models draw from a generator of their own."""
        with seed_generator(self.__dict__.get("_random_numbers")):
            return super().stateless_call(*args, **kwargs)  # type: ignore[misc]

    def post_init(self) -> None:
        """Ends a constructor: collects what inner models declare, sets weights, ties them."""
        self.all_tied_weights_keys = {
            **tying.expanded_ties(self),
            **tying.inherited_ties(self),
        }
        for name in _COLLECTED:
            found = set(getattr(self, name) or ())
            for _, child in children(self):
                found |= set(getattr(child, name, None) or ())
            setattr(self, name, found)
        self.init_weights()
        name_weights(self)
        if self.supports_gradient_checkpointing and getattr(
            self.config, "gradient_checkpointing", False
        ):
            self.gradient_checkpointing_enable()
            del self.config.gradient_checkpointing  # as upstream: a switch, not a property
        if keras.distribution.distribution() is not None and not is_deferred():
            lay_out(keras.layers.Layer.variables.fget(self))

    def init_weights(self) -> None:
        """Gives new weights their random values, and ties what is to be tied."""
        if not is_deferred():
            initialization.init_tree(self)
        self.tie_weights(recompute_mapping=False)

    def _init_weights(self, module: keras.layers.Layer) -> None:
        """Sets the weights of one layer by upstream's general scheme; models extend it."""
        initialization.init_layer(self.config, module)

    def tie_weights(self, missing_keys: Any = None, recompute_mapping: bool = True) -> None:
        """Lets tied keys share one variable.

        Args:
            missing_keys: Not used; loading goes by variables, so either key may be in a file.
            recompute_mapping: Look again at the configurations of the inner models, too.
        """
        if recompute_mapping:
            ties: dict[str, str] = {}
            for path, layer in named_layers(self, remove_duplicate=False):
                if getattr(layer, "_is_pretrained_model", False):
                    start = f"{path}." if path else ""
                    found = tying.expanded_ties(layer)
                    ties.update({start + key: start + shared for key, shared in found.items()})
            self.all_tied_weights_keys = ties
        tying.tie_weights(self, dict(self.all_tied_weights_keys))

    def _register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> None:
        """Lets `hook(state_dict, prefix)` change a checkpoint's keys before it is loaded.

        Args:
            hook: As in torch.
        """
        self.__dict__.setdefault("_load_hooks", []).append(hook)

    def get_expanded_tied_weights_keys(self, all_submodels: bool = False) -> dict[str, str]:
        """The ties of this model as {key: key of the weight it shares}.

        Args:
            all_submodels: Those of the models inside, too.
        """
        found = tying.expanded_ties(self)
        return {**found, **tying.inherited_ties(self)} if all_submodels else found

    @classmethod
    def _from_config(cls, config: PreTrainedConfig, **kwargs: Any) -> Any:
        """A model with random weights.

        Args:
            config: Its configuration.
            **kwargs: `dtype`, `attn_implementation`, `experts_implementation`, and arguments of
                the class.
        """
        dtype = kwargs.pop("dtype", None) or kwargs.pop("torch_dtype", None)
        for name in ("attn_implementation", "experts_implementation"):
            if name in kwargs:
                setattr(config, f"_{name}", kwargs.pop(name))
        if is_deferred():  # an inner model: whoever builds the outer one gives it its values
            with dtype_scope(dtype):
                return cls(config, **kwargs)
        with dtype_scope(dtype), deferred_values():
            model = cls(config, **kwargs)
        initialization.init_tree(model)
        initialize(keras.layers.Layer.variables.fget(model))
        return model

    @classmethod
    def can_generate(cls) -> bool:
        """Whether the class has `generate`."""
        return any(base.__name__ == "GenerationMixin" for base in cls.__mro__)

    @property
    def can_record_outputs(self) -> dict[str, Any]:
        """Which layers' outputs can be asked for, by output name."""
        return self._can_record_outputs or {}

    @property
    def loss_function(self) -> Callable[..., Any]:
        """The loss that fits the head's name, unless one was set."""
        own = self.__dict__.get("_loss_function")
        if own is not None:
            return own
        from keraform.training.losses import LOSS_MAPPING

        return LOSS_MAPPING.get(self.loss_type or "") or LOSS_MAPPING["ForCausalLM"]

    @loss_function.setter
    def loss_function(self, function: Callable[..., Any]) -> None:
        self.__dict__["_loss_function"] = function

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """The number of parameters, as torch counts them (shared ones once, buffers not).

        Args:
            only_trainable: Leave out frozen ones.
            exclude_embeddings: Leave out the tables of all embedding layers.
        """
        count = 0
        for weight in named_weights(self, aliases=False):
            buffer = weight.attribute in getattr(weight.layer, "torch_buffers", _BUFFERS)
            if buffer or (only_trainable and not weight.variable.trainable):
                continue
            if exclude_embeddings and isinstance(weight.layer, layers.Embedding):
                continue
            size = 1
            for axis in weight.variable.shape:
                size *= axis
            count += size
        return count

    def warn_if_padding_and_no_attention_mask(self, input_ids: Any, attention_mask: Any) -> None:
        """Says once that ids with padding came without an attention mask.

        Args:
            input_ids: The ids, [b, q].
            attention_mask: The mask, or None.
        """
        pad = self.config.pad_token_id
        if attention_mask is not None or pad is None or is_tracing(input_ids):
            return
        ends = keras.ops.convert_to_numpy(input_ids)[:, [-1, 0]]
        if pad in ends and not _warned(type(self)):
            logger.warning(
                "%s got input_ids with the padding token %s at a row's end, and no attention_mask: "
                "padding is then read as text. Pass attention_mask, as the tokenizer returns it.",
                type(self).__name__,
                pad,
            )

    def add_model_tags(self, tags: list[str] | str) -> None:
        """Adds tags for the model's card.

        Args:
            tags: One tag or several.
        """
        tags = [tags] if isinstance(tags, str) else list(tags)
        known = list(self.model_tags or ())
        self.model_tags = known + [tag for tag in tags if tag not in known]

    def __getattr__(self, name: str) -> Any:
        # not a property: Keras walks dir(layer) when it saves, and would recurse for ever
        if name == "base_model":
            prefix = type(self).base_model_prefix
            return self.__dict__.get(prefix, self) if prefix else self
        parent = getattr(super(), "__getattr__", None)
        if parent is not None:
            return parent(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


_BUFFERS = frozenset({"running_mean", "running_var", "num_batches_tracked"})
_already_warned: set[type] = set()


def _warned(cls: type) -> bool:
    known = cls in _already_warned
    _already_warned.add(cls)
    return known


def _config_annotation(cls: type) -> type[PreTrainedConfig] | None:
    annotation = inspect.get_annotations(cls).get("config")
    if isinstance(annotation, str):
        try:
            annotation = get_type_hints(cls).get("config")
        except NameError:
            return None
    found = isinstance(annotation, type) and issubclass(annotation, PreTrainedConfig)
    return annotation if found else None


def _loss_type(cls: type) -> str | None:
    from keraform.training.losses import LOSS_MAPPING

    name = cls.__name__.removeprefix("TF")
    if name in LOSS_MAPPING:
        return name
    found = re.findall(f"({'|'.join(LOSS_MAPPING)})", name)
    return found[0] if found else None


def _generation_config(cls: type[PreTrainedModel], config: PreTrainedConfig) -> GenerationConfig:
    try:
        return cls.generation_config_class.from_model_config(config)
    except NotImplementedError:
        return cls.generation_config_class()


class PreTrainedAudioTokenizerBase(PreTrainedModel):
    """Base of models that turn audio into codes or latents, and back into audio."""

    def encode(self, input_values: Any, *args: Any, **kwargs: Any) -> Any:
        """Raw audio to codes or latents; models define it."""
        raise NotImplementedError(_undefined(self, "encode"))

    def decode(self, audio_codes: Any, *args: Any, **kwargs: Any) -> Any:
        """Codes or latents to raw audio; models define it."""
        raise NotImplementedError(_undefined(self, "decode"))


def _undefined(model: PreTrainedModel, method: str) -> str:
    name = type(model).__name__
    return explain(f"{name}.{method}()", "a class without it", f"define {method} in {name}")
