"""Imports: relative ones resolved, seams of Transformers answered by the runtime, unknown packages
refused.
"""

from __future__ import annotations

import ast
import importlib

import pytest

from keraform.translate.analysis import import_origins
from keraform.translate.imports import public_names
from keraform.translate.rules.seams import SEAM_MODULES, SEAM_NAMES
from keraform.translate.source import absolute_module, module_path, transformers_root
from translate.porting import MODULE, port


def imports_of(source: str, module: str | None = MODULE) -> list[str]:
    code = port(source, imports="", module=module).code
    return [
        ast.unparse(node)
        for node in ast.parse(code).body
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]


@pytest.mark.parametrize(
    ("level", "name", "expected"),
    [
        (0, "torch.nn", "torch.nn"),
        (1, "configuration_bert", "transformers.models.bert.configuration_bert"),
        (2, "llama.modeling_llama", "transformers.models.llama.modeling_llama"),
        (3, "activations", "transformers.activations"),
        (3, "", "transformers"),
    ],
)
def test_relative_imports(level: int, name: str, expected: str) -> None:
    assert absolute_module(MODULE, level, name) == expected


def test_aliases_of_imports() -> None:
    import libcst as cst

    statement = cst.parse_module("from ...utils import logging as log, cached_file").body[0]
    assert dict(import_origins(statement.body[0], MODULE)) == {
        "log": "transformers.utils.logging",
        "cached_file": "transformers.utils.cached_file",
    }


@pytest.mark.parametrize(
    ("statement", "use", "expected"),
    [
        (
            "from .configuration_bert import BertConfig",
            "BertConfig()",
            "from transformers.models.bert.configuration_bert import BertConfig",
        ),
        (
            "from ...activations import ACT2FN",
            'ACT2FN["gelu"]',
            "from keraform.runtime.activations import ACT2FN",
        ),
        (
            "from ...cache_utils import DynamicCache",
            "DynamicCache()",
            "from keraform.runtime.caches import DynamicCache",
        ),
        (
            "from ...masking_utils import create_causal_mask as mask",
            "mask(1)",
            "from keraform.runtime.masks import create_causal_mask as mask",
        ),
        (
            "from ...modeling_outputs import BaseModelOutput",
            "BaseModelOutput()",
            "from keraform.models.modeling_outputs import TFBaseModelOutput",
        ),
        (
            "from ...modeling_outputs import ModelOutput",
            "ModelOutput()",
            "from keraform.runtime.outputs import ModelOutput",
        ),
        (
            "from ..clip.modeling_clip import CLIPVisionConfig",
            "CLIPVisionConfig()",
            "from transformers.models.clip.configuration_clip import CLIPVisionConfig",
        ),
        (
            "from ..llama.modeling_llama import LlamaRMSNorm, rotate_half",
            "LlamaRMSNorm(rotate_half(2))",
            "from keraform.models.llama.modeling_llama import TFLlamaRMSNorm, rotate_half",
        ),
        (
            "from ..clip.modeling_clip import CLIPVisionConfig",
            "CLIPVisionConfig()",
            "from transformers.models.clip.configuration_clip import CLIPVisionConfig",
        ),
        (
            "from ...modeling_outputs import ModelOutput",
            "ModelOutput()",
            "from keraform.runtime.outputs import ModelOutput",
        ),
        (
            "from ..dia.generation_dia import DiaGenerationMixin",
            "DiaGenerationMixin",
            "from keraform.models.dia.generation_dia import TFDiaGenerationMixin",
        ),
        (
            "from ...vision_utils import get_vision_position_ids",
            "get_vision_position_ids(1)",
            "from keraform.models.vision_utils import get_vision_position_ids",
        ),
        (
            "from ..auto.modeling_auto import AutoModelForCausalLM",
            "AutoModelForCausalLM.from_pretrained('a')",
            "from keraform import TFAutoModelForCausalLM",
        ),
        (
            "from ..auto import AutoModel",
            "AutoModel.from_config(1)",
            "from keraform.auto import AutoMainLayer",
        ),
        (
            "from tqdm.auto import tqdm",
            "tqdm([1])",
            "from tqdm.auto import tqdm",
        ),
        (
            "from ..bert.modeling_bert import BertModel",
            "BertModel(None)",
            "from keraform.models.bert.modeling_bert import TFBertMainLayer",
        ),
        (
            "from ...utils import logging",
            "logging.get_logger('a')",
            "from transformers.utils import logging",
        ),
        ("import math", "math.sqrt(2)", "import math"),
        ("import numpy as np", "np.arange(3)", "import numpy as np"),
        ("from torch import nn", "nn.Linear(2, 3)", "from keraform.runtime import layers"),
        ("import torch as t", "t.ones(2)", "from keras import ops"),
        (
            "from torch.nn.functional import gelu",
            "gelu(1)",
            "from keraform.runtime import ops as kf",
        ),
        ("from torch import Tensor", "Tensor", "from keraform.runtime.layers import Tensor"),
    ],
)
def test_where_names_come_from(statement: str, use: str, expected: str) -> None:
    assert imports_of(f"{statement}\n\n\ndef f():\n    return {use}\n") == [expected]


def test_names_that_the_port_does_not_use_are_not_imported() -> None:
    source = (
        "import torch\nimport math\nfrom ...utils import logging\n\n\ndef f(x):\n    return x\n"
    )
    assert imports_of(source) == []


def test_imports_are_sorted_in_three_groups() -> None:
    code = port(
        """
        import torch
        import math
        from ...utils import logging
        from ...activations import ACT2FN

        def f(x: torch.Tensor):
            logging.get_logger("a")
            return ACT2FN["gelu"](torch.relu(x)) * math.pi
        """,
        imports="",
        module=MODULE,
    ).code
    block = code.partition("# sha256 of what follows")[2].partition("\n")[2]
    assert block.split("\n\n\ndef")[0].strip("#\n") == (
        "import math\n\n"
        "from keras import ops\n"
        "from transformers.utils import logging\n\n"
        "from keraform.runtime.activations import ACT2FN\n"
        "from keraform.runtime.layers import Tensor"
    )


def test_conditional_imports_vanish_with_their_use() -> None:
    made = port(
        """
        from ...utils import is_flash_attn_available

        if is_flash_attn_available():
            from flash_attn import flash_attn_func

        def f(x):
            if is_flash_attn_available():
                x = flash_attn_func(x)
            return x
        """,
        imports="",
        module=MODULE,
    )
    assert "flash" not in made.code.partition("# sha256")[2]
    assert made.refusals == []


@pytest.mark.parametrize(
    ("statement", "use", "rule"),
    [
        ("import einops", "einops.rearrange(x)", "import.einops"),
        ("from einops import rearrange", "rearrange(x)", "import.einops"),
        ("import timm.layers as layers", "layers.Mlp(x)", "import.timm"),
        ("from ...trainer import Trainer", "Trainer(x)", "import.Trainer"),
        ("from ...cache_utils import NoSuchCache", "NoSuchCache(x)", "import.NoSuchCache"),
    ],
)
def test_packages_that_ports_do_not_know_are_refused(statement: str, use: str, rule: str) -> None:
    made = port(f"{statement}\n\n\ndef f(x):\n    return {use}\n", imports="", module=MODULE)
    assert [refusal.rule for refusal in made.refusals] == [rule]
    assert made.refusals[0].reason
    assert "raise NotImplementedError(" in made.code


@pytest.mark.parametrize("upstream", sorted(SEAM_MODULES))
def test_seam_modules_exist_on_both_sides(upstream: str) -> None:
    """Or no longer upstream; then nothing that the installed release has imports it."""
    assert public_names(SEAM_MODULES[upstream])
    if module_path(upstream) is None:
        leaf = upstream.rpartition(".")[2]
        sources = (transformers_root() / "models").rglob("modeling_*.py")
        assert [path.name for path in sources if leaf in path.read_text("utf-8")] == []


@pytest.mark.parametrize("upstream", sorted(SEAM_NAMES))
def test_seam_names_exist(upstream: str) -> None:
    target = SEAM_NAMES[upstream]
    module, name = target, upstream.rpartition(".")[2]
    if target.rsplit(".", 1)[-1][0].isupper():
        module, _, name = target.rpartition(".")
    assert hasattr(importlib.import_module(module), name)
