"""Refusals: what no rule covers is named, with its file, line and reason, and raises where it
stands.
"""

from __future__ import annotations

import re

import pytest

from translate.porting import MODULE, port

SOURCE = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.odd = nn.Bilinear(2, 3, 4)

    def forward(self, x: torch.Tensor):
        y = x * 2
        # a comment
        z = torch.lobpcg(y)
        return z


def f(x: torch.Tensor):
    return x + 1
"""


def test_a_refusal_names_rule_file_line_and_reason() -> None:
    refusals = port(SOURCE, imports="").refusals
    assert [(r.rule, r.file, r.line) for r in refusals] == [
        ("nn.Bilinear", "modeling_mini.py", 8),
        ("torch.lobpcg", "modeling_mini.py", 13),
    ]
    assert all(r.reason for r in refusals)


def test_the_file_still_compiles_and_the_rest_of_it_is_translated() -> None:
    code = port(SOURCE, imports="").code
    compile(code, "port.py", "exec")
    assert "        y = x * 2\n        # a comment\n        raise NotImplementedError(" in code
    assert "def f(x: Tensor):\n    return x + 1\n" in code


def test_the_error_raised_in_place_says_where_and_why() -> None:
    import numpy as np

    namespace: dict = {}
    exec(port("def f(x: torch.Tensor):\n    return torch.lobpcg(x)\n").code, namespace)
    with pytest.raises(NotImplementedError, match=r"modeling_mini\.py:8: torch\.lobpcg: no rule"):
        namespace["f"](np.ones(2))


@pytest.mark.parametrize(
    ("statement", "rule", "reason"),
    [
        ("return torch.lobpcg(x)", "torch.lobpcg", "no rule for this function of torch"),
        ("return F.lp_pool1d(x)", "F.lp_pool1d", "no rule for this function of torch"),
        ("return x.geqrf()", "Tensor.geqrf", "no rule for this method of a tensor"),
        ("return nn.Bilinear(2, 3, 4)", "nn.Bilinear", "no rule for this module of torch"),
        ("return torch.cat([x], axes=1)", "torch.cat", "argument 'axes' is not known to the rule"),
        ("return torch.cat()", "torch.cat", "argument 'tensors' is missing"),
        ("return torch.relu(x, 1, 2, 3)", "torch.relu", "positional arguments"),
        ("return torch.matmul(x, x, out=x)", "torch.matmul", "'out' has no counterpart"),
        ("return F.mse_loss(x, x, reduce=True)", "F.mse_loss", "'reduce' has no counterpart"),
        ("return torch.bucketize(x, x, out_int32=True)", "torch.bucketize", "'out_int32' has no"),
        ("x.backward()", "Tensor.backward", "gradients"),
        ("return 1 if x.sum() > 0 else None", "control-flow", "depends on tensor values"),
        ("async def g():\n        pass", "python", "asynchronous"),
        ("match x:\n        case _:\n            pass", "python", "Match"),
        ("return torch.strange_constant", "torch.strange_constant", "no rule for this name"),
    ],
)
def test_what_is_refused(statement: str, rule: str, reason: str) -> None:
    made = port(f"def f(x: torch.FloatTensor):\n    {statement}\n")
    assert [r.rule for r in made.refusals] == [rule]
    assert re.search(re.escape(reason), made.refusals[0].reason)
    assert "    raise NotImplementedError(" in made.code
    compile(made.code, "port.py", "exec")


def test_quotes_and_braces_in_a_reason_do_not_break_the_file() -> None:
    made = port('def f(x: torch.Tensor):\n    return torch.cat([x], **{"a": "b"})\n')
    compile(made.code, "port.py", "exec")
    assert len(made.refusals) == 1


def test_a_method_that_tensors_do_not_have_stays_as_it_is() -> None:
    """Torch raises there too, unless it is no tensor after all."""
    made = port("def f(x: torch.Tensor):\n    return x.squeze(-1)\n")
    assert made.refusals == []
    assert "    return x.squeze(-1)\n" in made.code


def test_what_is_not_reached_is_not_refused() -> None:
    made = port(
        """
        def f(x: torch.Tensor):
            if torch.cuda.is_available():
                x = torch.lobpcg(x)
            return x
        """
    )
    assert made.refusals == []


GENERATING = """
from ...modeling_utils import PreTrainedModel


class MiniForCausalLM(PreTrainedModel):
    def forward(self, x: torch.Tensor):
        return self.shared(x)

    def generate(self, x: torch.Tensor):
        \"\"\"Generates.\"\"\"
        y = x + 1
        return self._own(self.shared(torch.lobpcg(y)))

    def _own(self, x: torch.Tensor):
        return torch.lobpcg(x)

    def shared(self, x: torch.Tensor):
        return x.geqrf()

    def generate_anchors(self, x: torch.Tensor):
        return x * 2
"""


def test_what_serves_generation_alone_is_left_out_rather_than_refused() -> None:
    made = port(GENERATING, module=MODULE)
    assert [(r.rule, r.line) for r in made.left_out] == [("torch.lobpcg", 17), ("torch.lobpcg", 20)]
    assert [(r.rule, r.line) for r in made.refusals] == [("Tensor.geqrf", 23)]
    assert (
        '        """Generates."""\n'
        '        raise NotImplementedError("generate() is left out of this port; call the model '
        "itself. Refused: modeling_mini.py:17: torch.lobpcg: no rule"
    ) in made.code
    assert "        return x * 2\n" in made.code


def test_methods_of_generation_that_the_call_reaches_are_refused() -> None:
    source = GENERATING.replace("self.shared(x)\n", "self.generate(x)\n", 1)
    assert port(source, module=MODULE).left_out == []


def test_generation_whose_parameters_are_refused_is_left_out() -> None:
    source = GENERATING.replace(
        'x: torch.Tensor):\n        """Generates', 'x=torch.lobpcg(1)):\n        """Generates'
    )
    made = port(source, module=MODULE)
    assert made.left_out[0].line == 14
    assert "    def generate(*args, **kwargs):\n        raise NotImplementedError(" in made.code


def test_modules_of_generation_keep_what_is_translated() -> None:
    source = """
    from ...generation import GenerationMixin, Paged


    class MiniCache:
        def crop(self, x: torch.Tensor):
            return x + 1


    class MiniGenerationMixin(GenerationMixin):
        def generate(self, ids):
            return super().generate(ids, num_beams=1)


    class Exhausted(Paged):
        pass
    """
    made = port(source, module="transformers.models.bert.generation_mini")
    assert made.refusals == []
    assert [r.rule for r in made.left_out] == ["import.Paged"]
    assert "class TFMiniCache" in made.code and "Exhausted" not in made.code
    assert "class TFMiniGenerationMixin(GenerationMixin):" in made.code
