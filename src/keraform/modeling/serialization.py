"""A model's Keras configuration: the model's own configuration and the constructor's arguments."""

from __future__ import annotations

import inspect
import json
from typing import Any

import keras
from transformers import PreTrainedConfig

from keraform.errors import explain
from keraform.modeling.building import dtype_scope
from keraform.modeling.freezing import freeze, frozen

_KERAS_ARGUMENTS = ("name", "trainable", "dtype")
_ARGUMENTS = "_init_arguments"
_PORTS = "keraform.models."


def package_of(cls: type) -> str:
    """The name under which saved files know a class: its virtual package, never a cache path.

    Args:
        cls: A model or layer class.
    """
    module = cls.__module__
    parts = module.split(".")
    return ".".join(parts[: max(3, len(parts) - 1)]) if module.startswith(_PORTS) else module


class Serializable:
    """Gives pretrained models `get_config` and `from_config`, and registers them with Keras."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if issubclass(cls, keras.layers.Layer):
            keras.saving.register_keras_serializable(package=package_of(cls))(cls)

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        instance = super().__new__(cls, *args, **kwargs)
        # Keras's own way of keeping arguments gives up on a configuration object
        instance.__dict__[_ARGUMENTS] = _bound(cls, args, kwargs)
        return instance

    def get_config(self) -> dict[str, Any]:
        """Everything that `from_config` needs, as plain JSON values."""
        for name, value in self.__dict__[_ARGUMENTS].items():
            if not _is_plain(value):
                raise NotImplementedError(
                    explain(
                        f"constructor arguments of {type(self).__name__} that JSON can hold",
                        f"{name}={type(value).__name__}",
                        "save_pretrained, which needs the configuration and the weights only",
                    )
                )
        quantized, kept = self._quantized(), frozen(self)
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "model_type": self.config.model_type,
            "config": json.loads(self.config.to_json_string(use_diff=False)),
            "arguments": dict(self.__dict__[_ARGUMENTS]),
            **({"quantized": quantized} if quantized else {}),
            **({"frozen": kept} if kept else {}),
        }

    @classmethod
    def from_config(cls, config: PreTrainedConfig | dict[str, Any], **kwargs: Any) -> Any:
        """A model with random weights.

        Args:
            config: A model configuration, or what `get_config` gave.
            **kwargs: With a model configuration: `dtype`, `attn_implementation` and arguments of
                the class.
        """
        if isinstance(config, PreTrainedConfig):
            return cls._from_config(config, **kwargs)
        if "config" not in config or "arguments" not in config:
            return cls._from_config(cls.config_class.from_dict(config), **kwargs)
        settings = _config_class(cls, config["model_type"]).from_dict(config["config"])
        dtype = config.get("dtype")
        policy = keras.dtype_policies.deserialize(dtype) if isinstance(dtype, dict) else dtype
        given = {name: config[name] for name in ("name", "trainable") if name in config}
        with dtype_scope(policy):
            model = cls(settings, **config["arguments"], **given)
        model._quantize_layers(config.get("quantized", {}))
        freeze(model, config.get("frozen", ()))
        return model


def _config_class(cls: type, model_type: str) -> type[PreTrainedConfig]:
    if cls.config_class is not None:
        return cls.config_class
    from transformers import CONFIG_MAPPING

    return CONFIG_MAPPING[model_type]


def _bound(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The constructor's arguments by name, without the configuration and Keras's own."""
    signature = inspect.signature(cls.__init__)  # type: ignore[misc]
    try:
        bound = signature.bind_partial(None, *args, **kwargs).arguments
    except TypeError:  # the constructor itself will say what is wrong
        return {}
    found: dict[str, Any] = {}
    for position, (name, value) in enumerate(bound.items()):
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            found.update(value)
        elif kind is not inspect.Parameter.VAR_POSITIONAL and position > 0:
            found[name] = value
    found.pop("config", None)
    return {name: value for name, value in found.items() if name not in _KERAS_ARGUMENTS}


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, str))
