"""Classes: layers, main layers and their wrappers, private components, names that Keras owns."""

from __future__ import annotations

import pytest

from translate.porting import MODULE, lines, port, text

MODEL = '''
from collections.abc import Callable

import torch
from torch import nn

from ...modeling_utils import PreTrainedModel
from ...processing_utils import Unpack
from ...utils import TransformersKwargs, auto_docstring
from .configuration_bert import BertConfig


class MiniLayer(nn.Module):
    """One layer."""

    def __init__(self, config: BertConfig, device=None):
        super().__init__()
        self.output = nn.Linear(config.hidden_size, config.hidden_size, device=device)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Runs it."""
        return self.output(x)


class MiniPreTrainedModel(PreTrainedModel):
    config: BertConfig
    base_model_prefix = "mini"
    _can_record_outputs = {"hidden_states": MiniLayer}


class MiniEncoder(MiniPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.layers = nn.ModuleList([MiniLayer(config) for _ in range(config.num_hidden_layers)])
        self.post_init()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


@auto_docstring
class MiniModel(MiniPreTrainedModel):
    def __init__(self, config, add_pooling_layer=True):
        super().__init__(config)
        self.encoder = MiniEncoder(config)
        self.post_init()

    def forward(self, x: torch.Tensor | None = None, **kwargs: Unpack[TransformersKwargs]) -> tuple:
        return self.encoder(x)


class MiniForTokens(MiniPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.mini = MiniModel(config, add_pooling_layer=False)
        self.post_init()

    def forward(self, x: torch.Tensor | None = None) -> tuple:
        return self.mini(x)


__all__ = ["MiniPreTrainedModel", "MiniModel", "MiniForTokens"]
'''


RENAMED = """
import torch
from torch import nn

from ...cache_utils import Cache
from ...modeling_utils import PreTrainedModel
from ...utils import auto_docstring
from ...utils.deprecation import deprecate_kwarg


class MiniLayer(nn.Module):
    @deprecate_kwarg("past_key_values", "9.0", new_name="cache")
    def forward(self, x: torch.Tensor, cache: Cache | None = None) -> torch.Tensor:
        return x


class MiniPreTrainedModel(PreTrainedModel):
    base_model_prefix = "mini"


class MiniModel(MiniPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.layer = MiniLayer()

    @auto_docstring
    @deprecate_kwarg("past_key_values", "9.0", new_name="cache")
    def forward(self, x: torch.Tensor, cache: Cache | None = None) -> torch.Tensor:
        return self.layer(x, cache=cache)


class MiniForTokens(MiniPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.mini = MiniModel(config)


__all__ = ["MiniPreTrainedModel", "MiniModel", "MiniForTokens"]
"""


def test_older_names_of_arguments_are_taken_wherever_upstream_takes_them() -> None:
    made = port(RENAMED, imports="", module=MODULE)
    assert made.refusals == []
    assert "from keraform.runtime.renamed import deprecate_kwarg\n" in made.code
    decorator = '@deprecate_kwarg("past_key_values", "9.0", new_name="cache")'
    below = [
        after.partition("def ")[2].partition("(")[0]
        for after in made.code.split(f"    {decorator}\n")[1:]
    ]
    assert below == ["call", "call", "call"]  # the layer, the main layer and its wrapper
    assert f"    @unpack_inputs\n    {decorator}\n    def call(" in made.code


@pytest.fixture(scope="module")
def code() -> str:
    made = port(MODEL, imports="", module=MODULE)
    assert made.refusals == []
    return made.code


def class_of(code: str, name: str) -> str:
    return text(next(p for p in code.split("\n\n\n") if f"class {name}(" in p))


def test_classes_and_their_bases(code: str) -> None:
    heads = [line for line in code.split("\n") if line.startswith("class ")]
    assert heads == [
        "class TFMiniLayer(Layer):",
        "class TFMiniPreTrainedModel(PreTrainedModel):",
        "class TFMiniEncoder(TFMiniPreTrainedModel, MainLayer):",
        "class TFMiniMainLayer(TFMiniPreTrainedModel, MainLayer):",
        "class TFMiniModel(TFMiniPreTrainedModel, Model):",
        "class TFMiniForTokens(TFMiniPreTrainedModel, Model):",
    ]


def test_a_layer(code: str) -> None:
    assert class_of(code, "TFMiniLayer") == text(
        '''
        class TFMiniLayer(Layer):
            """One layer."""

            def __init__(self, config: BertConfig, **kwargs):
                super().__init__(**kwargs)
                self.output = layers.Dense(config.hidden_size, config.hidden_size, name="output")

            def call(self, x: Tensor) -> Tensor:
                """Runs it."""
                return self.output(x)
        '''
    )


def test_attributes_that_name_classes(code: str) -> None:
    assert '_can_record_outputs = {"hidden_states": TFMiniLayer}' in code


def test_private_models_are_components_without_a_wrapper(code: str) -> None:
    assert "TFMiniEncoderMainLayer" not in code
    assert "unpack_inputs" not in class_of(code, "TFMiniEncoder")
    assert "self.layers = [TFMiniLayer(config) for _ in range(" in class_of(code, "TFMiniEncoder")


def test_a_base_model_is_a_main_layer_and_a_short_wrapper(code: str) -> None:
    assert class_of(code, "TFMiniMainLayer") == text(
        """
        class TFMiniMainLayer(TFMiniPreTrainedModel, MainLayer):
            def __init__(self, config, add_pooling_layer=True, **kwargs):
                super().__init__(config, **kwargs)
                self.encoder = TFMiniEncoder(config, name="encoder")
                self.post_init()

            def call(self, x: Tensor | None = None, **kwargs) -> tuple:
                return self.encoder(x)
        """
    )
    wrapper = class_of(code, "TFMiniModel")
    assert wrapper.endswith("        return self.mini(x=x, **kwargs)")
    assert '    main_layer = "mini"\n' in wrapper
    assert (
        "    @unpack_inputs\n    def call(self, x: Tensor | None = None, training=None, **kwargs)"
        in wrapper
    )
    assert (
        'self.mini = TFMiniMainLayer(config, add_pooling_layer=add_pooling_layer, name="mini")'
        in wrapper
    )
    assert '"""The bare Bert Model' in wrapper


def test_heads_hold_the_main_layer_and_take_training(code: str) -> None:
    assert class_of(code, "TFMiniForTokens") == text(
        """
        class TFMiniForTokens(TFMiniPreTrainedModel, Model):
            def __init__(self, config, **kwargs):
                super().__init__(config, **kwargs)
                self.mini = TFMiniMainLayer(config, add_pooling_layer=False, name="mini")
                self.post_init()

            @unpack_inputs
            def call(self, x: Tensor | None = None, training=None) -> tuple:
                return self.mini(x)
        """
    )


def test_public_names_are_those_of_the_port(code: str) -> None:
    assert '__all__ = ["TFMiniPreTrainedModel", "TFMiniModel", "TFMiniForTokens"]' in code


def test_names_that_keras_owns_stay() -> None:
    ported = lines(
        """
        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.output = nn.Linear(4, 4)
                self.layers = nn.ModuleList([nn.Linear(4, 4)])
                self.weights = nn.Parameter(torch.ones(4))

            def forward(self, input: torch.Tensor):
                for layer in self.layers:
                    input = layer(input)
                return self.output(input) * self.weights
        """
    )
    for expected in (
        '        self.output = layers.Dense(4, 4, name="output")',
        "        self.layers = [layers.Dense(4, 4)]",
        '        self.weights = self.add_weight(shape=(4,), initializer="ones", name="weights")',
        "        for layer in self.layers:",
        "        return self.output(input) * self.weights",
    ):
        assert expected in ported


def test_a_port_with_names_that_keras_owns_runs() -> None:
    import numpy as np

    made = port(
        """
        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.layers = nn.ModuleList([nn.Linear(4, 4)])
                self.output = nn.Linear(4, 3)
                self.losses = nn.Parameter(torch.ones(3))

            def forward(self, x: torch.Tensor):
                return self.output(self.layers[0](x)) * self.losses
        """
    )
    namespace: dict = {}
    exec(made.code, namespace)
    block = namespace["TFBlock"]()
    assert block(np.ones((2, 4), "float32")).shape == (2, 3)
    from keraform.runtime.tree import named_weights

    assert [w.key for w in named_weights(block)] == [
        "losses",
        "layers.0.weight",
        "layers.0.bias",
        "output.weight",
        "output.bias",
    ]


def test_methods_that_only_torch_calls_vanish() -> None:
    ported = lines(
        """
        class Block(nn.Module):
            def forward(self, x):
                return x

            def extra_repr(self):
                return "size"
        """
    )
    assert ported == ["class TFBlock(Layer):", "    def call(self, x):", "        return x"]


def test_classes_that_are_no_layers_keep_what_they_are() -> None:
    ported = lines(
        """
        class Table(dict):
            def forward(self, x):
                return x
        """
    )
    assert ported[1:] == ["    def forward(self, x):", "        return x"]


def test_gradients_that_torch_computes_again_are_left_to_keras() -> None:
    made = port(
        """
        class Block(nn.Module):
            def forward(self, x):
                return x * 2

            def backward_pass(self, x, gradient):
                self(x).backward(gradient)
                return x.grad


        class Reversible(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, block):
                ctx.block = block
                return block(x)

            @staticmethod
            def backward(ctx, gradient):
                return ctx.block.backward_pass(gradient)
        """
    )
    assert made.refusals == []
    assert "backward" not in made.code


def test_classes_of_flash_attention_have_no_place_in_a_port() -> None:
    ported = lines(
        """
        from ...modeling_flash_attention_utils import _flash_attention_forward


        class Attention(nn.Module):
            def forward(self, x):
                return x


        # the fast one
        class FastAttention(Attention):
            def forward(self, x):
                return _flash_attention_forward(x)


        CLASSES = {"eager": Attention, "flash_attention_2": FastAttention}
        """,
        module=MODULE,
    )
    assert ported[-1] == 'CLASSES = {"eager": TFAttention}'
    assert "Fast" not in "".join(ported)
    assert "the fast one" not in "".join(ported)


def test_nothing_has_hooks_of_accelerate() -> None:
    ported = lines("def f(x):\n    if hasattr(x, '_hf_hook'):\n        return 1\n    return x\n")
    assert ported == ["def f(x):", "    return x"]


def test_mixins_of_generation_keep_their_places() -> None:
    ported = lines(
        """
        from ...modeling_utils import PreTrainedModel
        from .generation_mini import MiniGenerationMixin, OtherGenerationMixin


        class MiniForA(PreTrainedModel, MiniGenerationMixin):
            def forward(self, x):
                return x


        class MiniForB(OtherGenerationMixin, MiniForA):
            def forward(self, x):
                return x
        """,
        module=MODULE,
    )
    assert "class TFMiniForA(PreTrainedModel, MiniGenerationMixin, Model):" in ported
    assert "class TFMiniForB(OtherGenerationMixin, TFMiniForA):" in ported


def test_a_parameter_without_a_layer_belongs_to_the_one_it_is_assigned_to() -> None:
    ported = lines(
        """
        class Table(nn.Module):
            def __init__(self):
                super().__init__()
                self.table = self.make(3)

            @staticmethod
            def make(n):
                return nn.Parameter(torch.zeros(3, 2), requires_grad=False)

            def forward(self, x):
                return x
        """
    )
    assert "        return layers.parameter(ops.zeros((3, 2)), trainable=False)" in ported


def test_a_docstring_that_loads_a_file_is_no_loading_of_files() -> None:
    ported = lines(
        """
        class Block(nn.Module):
            def forward(self, x):
                \"\"\"Example: torch.load("batch.pt").\"\"\"
                return x

            def load_weights(self, path):
                return torch.load(path)
        """
    )
    assert "    def call(self, x):" in ported
    assert "load_weights" not in "".join(ported)


def test_a_constructor_may_pass_by_that_of_its_base() -> None:
    ported = lines(
        """
        from transformers.loss.loss_for_object_detection import ImageLoss


        class Loss(ImageLoss):
            def __init__(self, kinds):
                nn.Module.__init__(self)
                self.kinds = kinds

            def forward(self, x):
                return x
        """
    )
    assert ported == [
        "class TFLoss(TFImageLoss):",
        "    def __init__(self, kinds, **kwargs):",
        "        Layer.__init__(self, **kwargs)",
        "        self.kinds = kinds",
        "",
        "    def call(self, x):",
        "        return x",
    ]


def test_arguments_of_the_class_go_up_once() -> None:
    ported = lines(
        """
        class Block(nn.Module):
            def __init__(self, config, *inputs, **kwargs):
                super().__init__(config, *inputs, **kwargs)
        """
    )
    assert ported[-1] == "        super().__init__(config, *inputs, **kwargs)"
