"""Extra outputs (hidden states, attentions) taken from the layers that make them, as they finish.

A model class names in `_can_record_outputs` which layer classes feed which output. A call that
asks for them (`output_hidden_states=True`) watches its own layers; a model inside the model, with
`_is_pretrained_model` on its class, goes by its own table.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from keraform.runtime.observe import observe
from keraform.runtime.tree import children

_active: ContextVar[_Collector | None] = ContextVar("keraform_collector", default=None)
_plans: WeakKeyDictionary[Any, dict[int, list[tuple[str, OutputRecorder]]]] = WeakKeyDictionary()


@dataclass
class OutputRecorder:
    """Which layers feed an output.

    Args:
        target_class: the layer class.
        index: which element to take where the layer returns a tuple.
        layer_name: a part of the layer's path, in whole names ("self_attn", "encoder.layer").
        class_name: the end of the layer's path, in place of `target_class`.
        capture_initial_hidden_state: whether the first layer's input comes first.
        num_hidden_layers_key: the config field that counts these layers.
    """

    target_class: type | None = None
    index: int = 0
    layer_name: str | None = None
    class_name: str | None = None
    capture_initial_hidden_state: bool = True
    num_hidden_layers_key: str = "num_hidden_layers"

    def matches(self, layer: Any, path: str) -> bool:
        """Whether `layer`, at `path` (".encoder.layer.0"), feeds this output."""
        by_class = self.target_class is not None and isinstance(layer, self.target_class)
        by_name = self.class_name is not None and path.endswith(self.class_name)
        if not (by_class or by_name):
            return False
        if self.layer_name is None:
            return True
        return f".{self.layer_name.strip('.')}." in f"{path}."


class _Collector:
    """What one call has captured so far, by output name."""

    def __init__(self, keys: Iterable[str], selection: set[int] | None) -> None:
        self.values: dict[str, list[Any]] = {key: [] for key in keys}
        self.selection = selection

    def take(self, key: str, spec: OutputRecorder, args: tuple, kwargs: dict, output: Any) -> None:
        """Keep what `spec` names of a finished layer call."""
        if key not in self.values:
            return
        value = output[spec.index] if isinstance(output, tuple) else output
        if key != "hidden_states":
            if value is not None or not isinstance(output, tuple):
                self.values[key].append(value)
            return
        if spec.capture_initial_hidden_state and not self.values[key]:
            self._append_hidden_state(args[0] if args else next(iter(kwargs.values())))
        if value is not None:
            self._append_hidden_state(value)

    def _append_hidden_state(self, state: Any) -> None:
        kept = self.values["hidden_states"]
        wanted = self.selection is None or len(kept) in self.selection
        kept.append(state if wanted else None)


def _recordable(model: Any) -> dict[str, Any]:
    return getattr(model, "_can_record_outputs", None) or {}


def _recorders(model: Any) -> list[tuple[str, OutputRecorder]]:
    """The table of a model class, in one form: classes, names and lists become recorders."""
    found = []
    for key, entry in _recordable(model).items():
        for item in entry if isinstance(entry, list) else [entry]:
            recorder = item
            if not isinstance(item, OutputRecorder):
                index = 0 if "hidden_states" in key else 1
                recorder = (
                    OutputRecorder(None, index, class_name=item)
                    if isinstance(item, str)
                    else OutputRecorder(item, index)
                )
            found.append((key, recorder))
    return found


def _plan(model: Any) -> dict[int, list[tuple[str, OutputRecorder]]]:
    """For each layer inside `model` (by id) the outputs it feeds; computed once for a model."""
    plan = _plans.get(model)
    if plan is None:
        plan = {}
        _add_to_plan(plan, model, "", _recorders(model))
        _plans[model] = plan
    return plan


def _add_to_plan(plan: dict, layer: Any, path: str, recorders: list) -> None:
    main = getattr(layer, "main_layer", None)
    seen: set[tuple[int, str]] = set()
    for name, child in children(layer):
        place = (id(child), name.rpartition(".")[0])
        if place in seen:  # one layer twice in one list is one module for torch
            continue
        seen.add(place)
        below = path if name == main else f"{path}.{name}"
        own = getattr(type(child), "_is_pretrained_model", False)
        _add_to_plan(plan, child, below, _recorders(child) if own else recorders)
    for key, recorder in recorders:
        if recorder.matches(layer, path):
            plan.setdefault(id(layer), []).append((key, recorder))


def selected_hidden_states(output_hidden_states: bool | int | list[int] | None) -> list[int] | None:
    """The indices that `output_hidden_states` selects; None when it only says yes or no."""
    if output_hidden_states is None or isinstance(output_hidden_states, bool):
        return None
    if isinstance(output_hidden_states, int):
        return [output_hidden_states]
    return list(output_hidden_states)


def resolve_hidden_states_indices(
    model: Any, selected: list[int], num_hidden_states: int | None = None
) -> set[int]:
    """`selected` counted from the front; indices out of range select nothing and are left out."""
    if num_hidden_states is None:
        spec = _recordable(model).get("hidden_states")
        field = getattr(spec, "num_hidden_layers_key", "num_hidden_layers")
        layers = getattr(model.config, field, None)
        if layers is None:
            if any(index < 0 for index in selected):
                raise ValueError(
                    f"Expected hidden states counted from the front, since the config has no "
                    f"`{field}`; got {selected} for {type(model).__name__}. "
                    f"Pass non-negative indices."
                )
            return set(selected)
        num_hidden_states = layers + int(getattr(spec, "capture_initial_hidden_state", True))
    count = num_hidden_states
    return {index % count for index in selected if -count <= index < count}


def select_hidden_states(selection: str | Callable[[Any], int | list[int]]) -> Callable:
    """Ask for the hidden states a method uses, where its caller asks for none.

    Args:
        selection: the method's argument that holds the indices, or a function of the model.
    """

    def decorator(func: Callable) -> Callable:
        signature = inspect.signature(func)

        @functools.wraps(func)
        def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not kwargs.get("output_hidden_states"):
                if isinstance(selection, str):
                    bound = signature.bind(self, *args, **kwargs)
                    bound.apply_defaults()
                    kwargs["output_hidden_states"] = bound.arguments[selection]
                else:
                    kwargs["output_hidden_states"] = selection(self)
            return func(self, *args, **kwargs)

        return wrapper

    return decorator


# outputs that an older flag asks for as well
_ALSO_BY_ATTENTIONS = ("cross_attentions", "mask_decoder_attentions")


def _asked(model: Any, flag: str, kwargs: dict[str, Any]) -> Any:
    value = kwargs.get(flag)
    return getattr(model.config, flag, False) if value is None else value


def _collector_for(model: Any, kwargs: dict[str, Any]) -> _Collector:
    asked: dict[str, Any] = {}
    for key in _recordable(model):
        flag = "output_attentions" if key in _ALSO_BY_ATTENTIONS else f"output_{key}"
        asked[key] = _asked(model, flag, kwargs)
    keys = [key for key, value in asked.items() if _is_asked(value)]
    selected = selected_hidden_states(asked.get("hidden_states"))
    selection = None if selected is None else resolve_hidden_states_indices(model, selected)
    return _Collector(keys, selection)


def _is_asked(value: Any) -> bool:
    """A flag or a list that is not empty; the index 0 counts as asked for nothing, as upstream."""
    return bool(value)


def _tied(model: Any, outputs: Any, states: list[Any], by_default: bool) -> list[Any]:
    """Hidden states whose last is the model's last hidden state, where that is the rule."""
    rule = getattr(model.config, "tie_last_hidden_states", None)
    rule = by_default if rule is None else rule
    if not rule or not states or states[-1] is None:
        return states
    for field in ("vision_hidden_states", "last_hidden_state"):
        if hasattr(outputs, field):
            return [*states[:-1], getattr(outputs, field)]
    return states


def capture_outputs(
    func: Callable | None = None, *, tie_last_hidden_states: bool = True
) -> Callable:
    """Add to a model's output what its layers returned, as `_can_record_outputs` says.

    Asked for by `output_<name>` in the call or the config; `output_hidden_states` may also be an
    index or a list of indices, and the other states are then None. `return_dict=False` gives a
    tuple.

    Args:
        func: the model's `call`.
        tie_last_hidden_states: whether the last hidden state is the output's
            `last_hidden_state` (after the final norm); `config.tie_last_hidden_states` decides
            where it is set.
    """

    def decorator(func: Callable) -> Callable:
        @functools.wraps(func)
        def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
            return_dict = kwargs.pop("return_dict", getattr(self.config, "return_dict", True))
            collector = _collector_for(self, kwargs)
            token = _active.set(collector)
            try:
                if collector.values:
                    with observe(_listener(collector, _plan(self))):
                        outputs = func(self, *args, **kwargs)
                else:
                    outputs = func(self, *args, **kwargs)
            finally:
                _active.reset(token)
            for key, values in collector.values.items():
                if key == "hidden_states":
                    values = _tied(self, outputs, values, tie_last_hidden_states)
                outputs[key] = tuple(values)
            return outputs.to_tuple() if return_dict is False else outputs

        return wrapper

    return decorator if func is None else decorator(func)


def _listener(collector: _Collector, plan: dict) -> Callable:
    def listen(layer: Any, args: tuple, kwargs: dict, output: Any) -> None:
        # a model inside the model listens for itself
        if _active.get() is collector:
            for key, recorder in plan.get(id(layer), ()):
                collector.take(key, recorder, args, kwargs, output)

    return listen


def can_return_tuple(func: Callable) -> Callable:
    """Let `return_dict=False`, in the call or the config, turn the output into a tuple."""

    @functools.wraps(func)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        return_dict = kwargs.pop("return_dict", None)
        if return_dict is None:
            return_dict = getattr(getattr(self, "config", None), "return_dict", True)
        output = func(self, *args, **kwargs)
        return output if return_dict or isinstance(output, tuple) else output.to_tuple()

    return wrapper


_CONFIG_DEFAULTS = (
    "use_cache",
    "vision_feature_layer",
    "vision_feature_select_strategy",
    "vision_aspect_ratio",
)
_STRATEGIES = ("default", "full")


def merge_with_config_defaults(func: Callable) -> Callable:
    """Fill arguments that were not given from the config, and let `is_causal` reach the masks.

    While the call runs, `config.is_causal` has the value of the argument of that name.
    """
    parameters = list(inspect.signature(func).parameters.values())[1:]
    names = [parameter.name for parameter in parameters]
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)

    @functools.wraps(func)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        arguments = list(args)
        for name in _CONFIG_DEFAULTS:
            if name not in names and not takes_any:
                continue
            index = names.index(name) if name in names else len(arguments)
            positional = index < len(arguments)
            value = arguments[index] if positional else kwargs.get(name)
            value = getattr(self.config, name, None) if value is None else value
            if value is None:
                continue
            value = _checked_default(self, name, value)
            if positional:
                arguments[index] = value
            else:
                kwargs[name] = value
        is_causal = kwargs.get("is_causal", getattr(self.config, "is_causal", None))
        if is_causal is None:
            return func(self, *arguments, **kwargs)
        return _with_causality(func, self, arguments, kwargs, is_causal)

    return wrapper


def _checked_default(model: Any, name: str, value: Any) -> Any:
    if name == "use_cache" and value:
        checkpointing = getattr(model, "gradient_checkpointing", False)
        return not (checkpointing and model.training)
    if name == "vision_feature_select_strategy" and value not in _STRATEGIES:
        raise ValueError(
            f"Expected vision_feature_select_strategy to be one of {list(_STRATEGIES)}; got "
            f"{value!r}. Set config.vision_feature_select_strategy = 'default'."
        )
    return value


def _with_causality(
    func: Callable, model: Any, args: list[Any], kwargs: dict[str, Any], is_causal: bool
) -> Any:
    config = model.config
    had, before = hasattr(config, "is_causal"), getattr(config, "is_causal", None)
    config.is_causal = is_causal
    kwargs["is_causal"] = is_causal
    try:
        return func(model, *args, **kwargs)
    finally:
        if had:
            config.is_causal = before
        else:
            del config.is_causal


check_model_inputs = merge_with_config_defaults  # the older name

_MODALITIES = ("image", "video", "audio")
# of the text model's packed attention; an encoder's own arguments have similar names
_TEXT_ONLY = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k")


def accepts_precomputed_kwargs(modality: str) -> Callable:
    """Give `get_<modality>_features` its own keyword arguments, without their prefix.

    `image_grid` reaches `get_image_features` as `grid`, unless it has a parameter `image_grid`;
    arguments of the other modalities stay out.
    """
    prefix = f"{modality}_"
    others = tuple(f"{other}_" for other in _MODALITIES if other != modality)

    def decorator(func: Callable) -> Callable:
        own = set(inspect.signature(func).parameters)

        def name_of(key: str) -> str | None:
            if key.startswith(others) or (key in _TEXT_ONLY and key not in own):
                return None
            return key.removeprefix(prefix) if key not in own else key

        @functools.wraps(func)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            named = ((name_of(key), value) for key, value in kwargs.items())
            return func(*args, **{name: value for name, value in named if name is not None})

        return wrapper

    return decorator
