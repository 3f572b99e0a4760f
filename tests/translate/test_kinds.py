"""Kinds: what is known of a value decides what is written."""

from __future__ import annotations

import textwrap

import pytest

from keraform.translate import map_source, translate_source
from keraform.translate.expressions.promotion import needs_function
from keraform.translate.kinds import (
    BOOL,
    DIM,
    FLOAT,
    FLOAT_TENSOR,
    INT,
    INT_TENSOR,
    NONE,
    PY,
    STR,
    TENSOR,
    UNKNOWN,
    Kind,
    join,
    kind_from_fact,
)
from translate.porting import IMPORTS, body, lines


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (TENSOR, TENSOR, TENSOR),
        (Kind("tensor", "float32", 2), Kind("tensor", "float32", 3), Kind("tensor", "float32")),
        (Kind("tensor", "float32"), Kind("tensor", "float16"), Kind("tensor", "float")),
        (FLOAT_TENSOR, INT_TENSOR, TENSOR),
        (NONE, TENSOR, Kind("tensor", optional=True)),
        (TENSOR, NONE, Kind("tensor", optional=True)),
        (INT, DIM, DIM),
        (INT, FLOAT, PY),
        (DIM, FLOAT, Kind("dim", "mixed")),
        (Kind("dim", "float"), FLOAT, Kind("dim", "float")),
        (INT, STR, PY),
        (TENSOR, INT, UNKNOWN),
        (Kind("tensor", "float32"), DIM, Kind("unknown", "float32")),
        (TENSOR, UNKNOWN, UNKNOWN),
        (
            Kind("tuple", items=(TENSOR, INT)),
            Kind("tuple", items=(TENSOR, FLOAT)),
            Kind("tuple", items=(TENSOR, PY)),
        ),
        (Kind("tuple", items=(TENSOR,)), Kind("tuple", items=(TENSOR, INT)), Kind("tuple")),
    ],
)
def test_join(a: Kind, b: Kind, expected: Kind) -> None:
    assert join(a, b) == expected
    assert join(b, a) == expected


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        ("tensor:float32:3", Kind("tensor", "float32", 3)),
        ("tensor:int64", INT_TENSOR),
        ("none|tensor:float32:3", Kind("tensor", "float32", 3, optional=True)),
        ("int", INT),
        ("bool", BOOL),
        ("int|tensor:int64:0", UNKNOWN),
        ("something new", UNKNOWN),
    ],
)
def test_facts(fact: str, expected: Kind) -> None:
    assert kind_from_fact(fact) == expected


def test_a_fact_beats_an_annotation() -> None:
    source = "import torch\n\n\ndef f(x: torch.Tensor, y):\n    return x + y\n"
    plain = translate_source(source, filename="f.py").code
    assert "return x + y" in plain
    facts = {"5:11:5:12": "tensor:float32:2", "5:15:5:16": "tensor:int64:2"}
    mixed = translate_source(source, filename="f.py", facts=facts).code
    assert "return ops.add(x, y)" in mixed


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("x + y", "x + y"),
        ("x * 2", "x * 2"),
        ("x * 0.5 + 1", "x * 0.5 + 1"),
        ("x + i", "ops.add(x, i)"),
        ("x * m", "ops.multiply(x, m)"),
        ("i / 2", "ops.divide(i, 2)"),
        ("i * 0.5", 'ops.cast(i, "float32") * 0.5'),
        ("i // 2", "i // 2"),
        ("x * y.shape[0]", "ops.multiply(x, ops.shape(y)[0])"),
        ("m & (i > 0)", "m & (i > 0)"),
        ("m | i", "ops.bitwise_or(m, i)"),
        ("m + m", "ops.logical_or(m, m)"),
        ("x == i", "ops.equal(x, i)"),
        ("x > 0", "x > 0"),
        ("x @ y", "x @ y"),
        ("x**2", "x**2"),
        ("-x", "-x"),
    ],
)
def test_operators_by_dtype(expression: str, expected: str) -> None:
    assert body(f"return {expression}") == [f"return {expected}"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("return x.shape", "return ops.shape(x)"),
        ("b, n = x.shape\nreturn b * n", "return b * n"),
        ("b, *rest = x.size()\nreturn x.view(b, -1)", "return ops.reshape(x, (b, -1))"),
        ("n = x.shape[-1] // 2\nreturn x[:, :n]", "return x[:, :n]"),
        ("return x.shape[-1] ** -0.5", "return ops.shape(x)[-1] ** -0.5"),
        ("return math.sqrt(x.size(-1))", "return math.sqrt(ops.shape(x)[-1])"),
        (
            "return x.new_zeros(x.shape[0], 3)",
            "return ops.zeros((ops.shape(x)[0], 3), dtype=x.dtype)",
        ),
    ],
)
def test_sizes(source: str, expected: str) -> None:
    assert body(source)[-1] == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        # one path gives a tensor, the other None: still a tensor
        ("y = None\nif flag:\n    y = x\nreturn y.sum()", "return ops.sum(y)"),
        # floats on both paths
        ("if flag:\n    y = x * 2\nelse:\n    y = x\nreturn y.sum()", "return ops.sum(y)"),
        # floats here, integers there
        ("if flag:\n    y = i\nelse:\n    y = x\nreturn y.sum()", "return kf.sum(y)"),
        # a path that returns does not count
        ("y = x\nif flag:\n    y = i\n    return y\nreturn y.sum()", "return ops.sum(y)"),
        # loops may rebind
        ("y = x\nfor _ in range(2):\n    y = y * 2\nreturn y.sum()", "return ops.sum(y)"),
    ],
    ids=["none", "same", "different", "returns", "loop"],
)
def test_paths_are_joined(source: str, expected: str) -> None:
    assert body(source)[-1] == expected


def test_a_value_of_unknown_kind_is_decided_at_run_time() -> None:
    from translate.porting import port

    made = port("def f(x):\n    return x.split(2)\n")
    assert "kf.dynamic.split(x, 2)" in made.code
    assert made.stats.helper_calls == 1
    assert made.stats.helper_reasons == {"split": 1}


def test_attributes_of_a_class_are_known_in_its_methods() -> None:
    ported = lines(
        """
        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.scale = nn.Parameter(torch.ones(4))
                self.dense = nn.Linear(4, 4)
                self.size = 4

            def forward(self, x):
                y = self.dense(x)
                return y.view(-1, self.size) + self.scale.sum()
        """
    )
    assert ported[-1] == "        return ops.reshape(y, (-1, self.size)) + ops.sum(self.scale)"


@pytest.mark.parametrize("first", ["self.norm = nn.LayerNorm(4)", "self.norm = None"])
def test_a_layer_that_a_condition_leaves_out_is_a_layer_or_none(first: str) -> None:
    second = {"self.norm = None": "self.norm = nn.LayerNorm(4)"}.get(first, "self.norm = None")
    text = f"""
from torch import nn


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        if config.normed:
            {first}
        else:
            {second}

    def forward(self, x):
        return self.norm(x) if self.norm is not None else x
"""
    _, found = map_source(text, filename="block.py")
    line = text.count("\n", 0, text.index("return self.norm"))
    kinds = [kind for place, kind in found.kinds.items() if place.startswith(f"{line + 1}:")]
    assert Kind("layer", name="nn.LayerNorm", optional=True) in kinds


def test_names_of_python_are_not_taken_for_tensors() -> None:
    assert body('words = "a b".split(" ")\nreturn [w.lower() for w in words], {}.get("a")') == [
        'words = "a b".split(" ")',
        'return [w.lower() for w in words], {}.get("a")',
    ]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("(free > 0).long()", 'ops.cast(free > 0, "int64")'),
        ("free * x.float()", 'ops.multiply(free, ops.cast(x, "float32"))'),
        ("int(x.shape[0] * free)", "torch_int(ops.shape(x)[0] * free)"),
        ("(free / x.shape[0]).long()", 'ops.cast(free / ops.shape(x)[0], "int64")'),
        (
            "i * (x.shape[0] / 2)",
            'ops.multiply(ops.cast(i, "float32"), ops.shape(x)[0] / 2)',
        ),
    ],
)
def test_what_may_be_a_tensor_is_not_taken_for_a_number(expression: str, expected: str) -> None:
    head = "def f(x: torch.FloatTensor, i: torch.LongTensor, free):\n"
    assert lines(f"{head}    return {expression}\n")[1] == f"    return {expected}"


def test_a_parameter_with_methods_of_caches_is_a_cache() -> None:
    source = """
    def f(self, past: torch.Tensor | None, x: torch.Tensor):
        return 0 if past is None else past.get_seq_length() + x.sum()
    """
    assert "past.get_seq_length()" in lines(source)[-1]


def test_what_ends_in_a_layer_of_torch_is_no_tuple() -> None:
    source = """
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.proj = nn.Linear(2, 3)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.proj(x)


    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = Head()

        def forward(self, x: torch.Tensor):
            return self.head(x).squeeze(2)
    """
    assert lines(source)[-1].strip() == "return kf.squeeze(self.head(x), 2)"


def test_a_parameter_that_some_function_unpacks_is_no_tensor() -> None:
    code = lines(
        """
        def f(x: torch.Tensor, rotary: torch.Tensor, cache: torch.Tensor, y: torch.Tensor):
            return g(x, rotary) + rotary.size(0) + cache.get_seq_length() + y.size(0)

        def g(x: torch.Tensor, rotary: torch.Tensor):
            cos, sin = rotary
            return x.size(0)

        def h(y: tuple[torch.Tensor, torch.Tensor]):
            return y.to("cpu")
        """
    )
    assert "cache.get_seq_length()" in code[1]
    assert "return y" in code[-1]


@pytest.mark.parametrize(
    ("name", "dtype"), [("attention_mask", "mask"), ("position_ids", "mixed"), ("hidden", None)]
)
def test_names_tell_what_may_be_of_integers(name: str, dtype: str | None) -> None:
    source = f"import torch\n\n\ndef f({name}: torch.Tensor):\n    return {name}\n"
    _, found = map_source(source, filename="modeling_mini.py")
    assert Kind("tensor", dtype) in found.kinds.values()


def test_a_result_that_is_returned_as_several_is_several() -> None:
    code = lines(
        """
        def f(x: torch.Tensor) -> torch.Tensor:
            return x, x

        def g(x: torch.Tensor):
            y = f(x)
            return y[0].size(0)
        """
    )
    assert code[-1] == "    return ops.shape(y[0])[0]"


def test_a_result_that_is_a_sum_is_no_tuple() -> None:
    code = lines(
        """
        def f(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            x = x + 1
            return x

        def g(x: torch.Tensor):
            y = f(x)
            return y.size(0)
        """
    )
    assert code[-1] == "    return ops.shape(y)[0]"


def test_calls_beat_annotations_that_they_contradict() -> None:
    source = """
    def inner(x: tuple[torch.Tensor], n: bool, w: torch.LongTensor):
        return x[:, :n], w

    def outer(x: tuple[torch.Tensor]):
        part = x[:, 1:]
        return inner(part, 2, part.float())

    def f(x: torch.FloatTensor):
        return outer(x)
    """
    text = "import torch\n" + textwrap.dedent(source)
    _, found = map_source(text, filename="modeling_mini.py")
    kinds = set(found.kinds.values())
    assert Kind("tuple", items=(TENSOR,)) not in kinds
    assert BOOL not in kinds
    assert Kind("tensor", "int64") not in kinds


def test_fields_of_outputs_are_what_a_file_puts_there() -> None:
    code = lines(
        """
        class Model(nn.Module):
            def features(self, x: torch.Tensor):
                outputs = self.vision(x)
                outputs.pooler_output = [row for row in outputs.last_hidden_state]
                return outputs

            def forward(self, x: torch.Tensor):
                parts = self.features(x).pooler_output
                return parts[0], len(parts)
        """
    )
    assert code[-1] == "        return parts[0], len(parts)"


def test_fields_of_outputs_are_what_a_file_makes_them_with() -> None:
    code = lines(
        """
        def encode(x: torch.Tensor):
            return BaseModelOutput(last_hidden_state=[x, abs(x)])

        def f(x: torch.Tensor):
            return len(encode(x).last_hidden_state)
        """
    )
    assert code[-1] == "    return len(encode(x).last_hidden_state)"


@pytest.mark.parametrize(("name", "dtype"), [("pixel_values", "float"), ("labels", "int64")])
def test_names_correct_annotations_of_integers(name: str, dtype: str) -> None:
    source = f"import torch\n\n\ndef f({name}: torch.LongTensor):\n    return {name}\n"
    _, found = map_source(source, filename="modeling_mini.py")
    assert Kind("tensor", dtype) in found.kinds.values()


def test_what_a_tuple_holds_reaches_functions_through_calls() -> None:
    code = lines(
        """
        def turn(x: torch.Tensor, cos):
            return x * cos

        class Attention(nn.Module):
            def forward(self, x: torch.Tensor, tables: tuple[torch.Tensor, torch.Tensor]):
                cos, sin = tables
                return turn(x, cos)

        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.attention = Attention()

            def forward(self, x: torch.Tensor):
                angles = torch.arange(4).float()
                return self.attention(x, (angles.cos(), angles.sin()))
        """
    )
    assert "    return ops.multiply(x, cos)" in code


def test_an_attribute_that_one_branch_leaves_out_is_no_none() -> None:
    code = lines(
        """
        class Stage(nn.Module):
            def __init__(self, down):
                super().__init__()
                if down is not None:
                    self.down = down(dim=3)
                else:
                    self.down = None

            def forward(self, x: torch.Tensor):
                if self.down is not None:
                    x = self.down(x)
                return x
        """
    )
    assert "        if self.down is not None:" in code


def test_layers_or_a_plain_list_are_some_sequence() -> None:
    source = """
    import torch
    from torch import nn

    class Encoder(nn.Module):
        def __init__(self, config):
            super().__init__()
            if config.distil:
                self.steps = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
            else:
                self.steps = [None] * 3

        def forward(self, x: torch.Tensor):
            return self.steps
    """
    _, found = map_source(textwrap.dedent(source), filename="modeling_mini.py")
    assert PY in found.kinds.values()


def test_tensors_that_are_compared_broadcast() -> None:
    source = "import torch\n\n\ndef f(x: torch.Tensor):\n    return torch.arange(3) < x[:, None]\n"
    _, found = map_source(source, filename="modeling_mini.py")
    assert Kind("tensor", "bool") in found.kinds.values()
    assert Kind("tensor", "bool", 1) not in found.kinds.values()


def test_an_import_that_ports_do_without_is_none_there() -> None:
    source = (
        "from transformers.utils.import_utils import is_mambapy_available\n\n\n"
        "def f(x):\n"
        "    if is_mambapy_available():\n"
        "        from mambapy.pscan import pscan\n"
        "    else:\n"
        "        pscan = None\n"
        "    if x is not None and pscan is not None:\n"
        "        x = pscan(x)\n"
        "    return x\n"
    )
    _, found = map_source(source, filename="modeling_mini.py")
    assert Kind("none", name="unavailable") in found.kinds.values()


def test_dtypes_reach_functions_through_calls_and_results() -> None:
    code = lines(
        """
        def scaled(x: torch.Tensor, w: torch.Tensor, y: torch.Tensor):
            return x * w + y

        class Gate(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return x, F.softmax(x, dim=-1, dtype=torch.float32)

        class Experts(nn.Module):
            def forward(self, x: torch.Tensor, w: torch.Tensor, **kwargs):
                return scaled(x, w, x)

        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.gate = Gate()
                self.experts = Experts()

            def forward(self, x: torch.Tensor, **kwargs):
                x, w = self.gate(x)
                return self.experts(x, w=w, **kwargs)
        """
    )
    assert code[1] == "    return ops.add(ops.multiply(x, w), y)"


def test_dtypes_reach_functions_through_dicts() -> None:
    code = lines(
        """
        def rotated(x, cos, sin):
            return x * cos + x * sin

        class Tables(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return x.float().cos(), x.float().sin()

        class Block(nn.Module):
            def forward(self, x: torch.Tensor, tables: tuple[torch.Tensor, torch.Tensor]):
                cos, sin = tables
                return rotated(x, cos, sin)

        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.tables = Tables()
                self.block = Block()

            def forward(self, x: torch.Tensor, kinds: list[str]):
                tables = {kind: self.tables(x) for kind in kinds}
                x = self.block(x, tables["full"])
                return self.block(x, tables=tables.get("sliding"))
        """
    )
    assert code[1] == "    return ops.multiply(x, cos) + ops.multiply(x, sin)"


def test_self_is_a_layer_whatever_methods_it_has() -> None:
    source = """
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.flatten = nn.Flatten()

        def forward(self, x, cache):
            cache.is_updated[self.index] = True
            return self.flatten(x) if self.training else self.scale
    """
    text = f"import torch\nfrom torch import nn\n\n\n{textwrap.dedent(source)}"
    made, found = map_source(text, filename="modeling_mini.py")
    statement = "        cache.is_updated[self.index] = True"
    assert statement in made.code
    line, column = text.split("\n").index(statement) + 1, statement.index("self")
    assert found.kinds[f"{line}:{column}:{line}:{column + 4}"].tag == "layer"


def test_loops_over_what_a_layer_keeps_are_no_scans() -> None:
    code = lines(
        """
        class Experts(nn.Module):
            def __init__(self, count: int):
                super().__init__()
                self.count = count

            def forward(self, x: torch.Tensor, sizes):
                rows, results = x.split(sizes), []
                for i in range(self.count):
                    results.append(rows[i])
                return torch.cat(results)
        """
    )
    assert "        for i in range(self.count):" in code


def test_dtypes_that_a_condition_widens_differ() -> None:
    wide = Kind("tensor", "float32")
    assert join(wide, TENSOR) == join(TENSOR, wide) == Kind("tensor", "mixed")
    assert join(wide, UNKNOWN) == Kind("unknown", "mixed")
    assert join(TENSOR, UNKNOWN) == UNKNOWN


def test_modules_in_a_dict_are_found_behind_other_layers() -> None:
    code = lines(
        """
        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.mlp = nn.ModuleDict({"up": nn.Linear(2, 3)})

        class Model(nn.Module):
            def forward(self, x):
                return [block.mlp.up(x) for block in self.blocks]
        """
    )
    assert code[-1] == '        return [block.mlp["up"](x) for block in self.blocks]'


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ("x.shape[0], 2", DIM),
        ("x.shape[0] / 3, 1.0", Kind("dim", "float")),
        ("x.shape[0], 1.0", Kind("dim", "mixed")),
        ("y", Kind("dim", "mixed")),
    ],
)
def test_the_largest_of_numbers_is_one_of_them(arguments: str, kind: Kind) -> None:
    source = f"import torch\n\n\ndef f(x: torch.Tensor, y):\n    return max({arguments})\n"
    _, found = map_source(source, filename="modeling_mini.py")
    assert kind == found.kinds[f"5:11:5:{16 + len(arguments)}"]


@pytest.mark.parametrize(
    ("comparison", "rank"), [("x < y", 2), ("y < x", 2), ("x < 3", 1), ("x < z", None)]
)
def test_a_comparison_has_the_axes_of_what_is_compared(comparison: str, rank: int | None) -> None:
    lines = ["x = torch.arange(3)", "y = x[:, None]", f"return {comparison}"]
    source = "import torch\n\n\ndef f(z: torch.Tensor):\n    " + "\n    ".join(lines) + "\n"
    _, found = map_source(source, filename="modeling_mini.py")
    assert Kind("tensor", "bool", rank) == found.kinds[f"7:11:7:{11 + len(comparison)}"]


def kind_at(source: str, marked: str) -> Kind:
    """The kind of the expression `marked`, at the last place where it stands, of a source that
    begins with `import torch` and `from torch import nn`.
    """
    text = "import torch\nfrom torch import nn\n\n\n" + textwrap.dedent(source).lstrip("\n")
    _, found = map_source(text, filename="modeling_mini.py")
    before, _, _ = text.rpartition(marked)
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n") - 1
    return found.kinds.get(f"{line}:{column}:{line}:{column + len(marked)}", UNKNOWN)


def kind_after(source: str, before: str, name: str) -> Kind:
    """The kind of a name that ends `before`, at the first place where that stands."""
    text = "import torch\nfrom torch import nn\n\n\n" + textwrap.dedent(source).lstrip("\n")
    _, found = map_source(text, filename="modeling_mini.py")
    above = text[: text.index(before) + len(before)]
    line, column = above.count("\n") + 1, len(above) - above.rfind("\n") - 1
    return found.kinds.get(f"{line}:{column - len(name)}:{line}:{column}", UNKNOWN)


def test_methods_of_other_objects_learn_from_their_calls() -> None:
    source = """
        class Structure(nn.Module):
            def positions(self, places: torch.Tensor):
                return places[0]

        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.structure = Structure()

            def forward(self, x: torch.Tensor):
                return self.structure.positions([x, None])
        """
    assert kind_at(source, "places").tag == "unknown"


def test_a_sum_of_tensors_that_begins_with_a_number_is_no_number_in_the_loop() -> None:
    source = """
        def f(rows: list[torch.Tensor]):
            total = 0.0
            for row in rows:
                total = row + total
            return rows
        """
    assert not kind_at(source, "total").is_python


@pytest.mark.parametrize(
    ("parameter", "body"),
    [
        ("value: int", "int(value / 2)"),
        ("value: int = 10000.0", "value * 2"),
    ],
)
def test_annotated_integers_may_be_fractions(parameter: str, body: str) -> None:
    source = f"def f({parameter}):\n    return {body}\n"
    assert kind_at(source, "value").dtype == "mixed"


def test_a_tensor_by_its_annotation_with_a_truth_value_by_default_is_one() -> None:
    source = "def f(flag: torch.Tensor | None = False):\n    return not flag\n"
    assert kind_at(source, "flag") == BOOL


def test_rows_that_a_loop_unpacks_are_no_tensors() -> None:
    source = """
        def f(shapes: torch.Tensor):
            return [height * width for height, width in shapes]
        """
    assert kind_at(source, "height * width") == UNKNOWN


def test_masks_that_are_annotated_as_truth_values_come_as_integers() -> None:
    source = "def f(attention_mask: torch.BoolTensor):\n    return attention_mask\n"
    assert kind_at(source, "attention_mask").dtype == "mask"


def test_a_mask_that_is_inverted_is_one_of_truth_values() -> None:
    source = "def f(mask: torch.Tensor):\n    return ~mask\n"
    assert kind_at(source, "~mask").dtype == "bool"


def test_an_attribute_that_calls_fill_is_not_known_to_be_none() -> None:
    source = """
        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.kept = None

            def forward(self):
                return [self.kept]

            def fill(self, x):
                self.kept = x
        """
    assert kind_at(source, "[self.kept]").item().tag != "none"


def test_tuples_of_more_than_their_annotation_says_hold_other_things() -> None:
    source = """
        class Stage(nn.Module):
            def forward(self, x: torch.Tensor, size: tuple[int, int]) -> tuple[torch.Tensor]:
                height, width = size
                if self.pool is not None:
                    x, sizes = self.pool(x)
                else:
                    sizes = (height, width)
                outputs = (x, x, sizes)
                return outputs

        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.stage = Stage()

            def forward(self, x: torch.Tensor):
                outputs = self.stage(x, (2, 3))
                return outputs[2]
        """
    assert kind_at(source, "outputs[2]").is_unknown


def test_results_have_the_dtype_of_integers_that_is_returned() -> None:
    source = """
        def places(x: torch.Tensor) -> torch.LongTensor:
            return x.to(torch.int32)

        def f(x: torch.Tensor):
            return places(x)
        """
    assert kind_at(source, "places(x)").dtype == "int32"


def test_what_stays_in_float32_gives_it_to_what_follows() -> None:
    code = lines(
        """
        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.wi = nn.Linear(3, 4)
                self.wo = nn.Linear(4, 3)
                self.dropout = nn.Dropout(0.1)

            def forward(self, x: torch.FloatTensor):
                return x + self.dropout(self.wo(self.wi(x))), x + self.dropout(x)

        class Model(PreTrainedModel):
            _keep_in_fp32_modules = ["wo"]
        """
    )
    result = "ops.add(x, self.dropout(self.wo(self.wi(x)))), x + self.dropout(x)"
    assert f"        return {result}" in code


def test_the_weight_of_a_layer_that_is_kept_in_float32_may_differ_from_the_model() -> None:
    code = lines(
        """
        class Encoder(nn.Module):
            def __init__(self):
                super().__init__()
                self.places = nn.Embedding(7, 3)
                self.types = nn.Embedding(2, 3)

            def forward(self, x: torch.FloatTensor):
                return (x + self.places.weight).to(x.dtype), x + self.types.weight

        class Model(PreTrainedModel):
            _keep_in_fp32_modules_strict = ["places"]
        """
    )
    result = "ops.cast(ops.add(x, self.places.weight), x.dtype), x + self.types.weight"
    assert f"        return {result}" in code


def test_a_mask_may_be_of_another_dtype_than_a_model_that_is_kept_in_float32() -> None:
    source = """
        def attention(scores: torch.FloatTensor, attention_mask: torch.Tensor | None = None):
            return scores + attention_mask

        class Reader(PreTrainedModel):
            pass

        class Model(PreTrainedModel):
            _keep_in_fp32_modules = ["reader"]

            def __init__(self, config):
                super().__init__(config)
                self.reader = Reader(config)
        """
    imports = f"{IMPORTS}from transformers.modeling_utils import PreTrainedModel\n\n\n"
    assert "    return ops.add(scores, attention_mask)" in lines(source, imports=imports)
    shared = source.replace('["reader"]', '["writer"]')
    assert "    return scores + attention_mask" in lines(shared, imports=imports)


BUFFERS = """
    class Table(nn.Module):
        def __init__(self, n: int):
            super().__init__()
            self.width = n
            self.x = nn.Buffer(VALUE, persistent=False)

        def place(self, x, table=None):
            table = torch.zeros(x.shape[1], self.width)
            return table.to(device=x.device, dtype=x.dtype)
    """


@pytest.mark.parametrize(
    "value",
    [
        "torch.exp(torch.arange(n) * -0.5)",
        "torch.tensor([0.5, 0.25]).view(2, 1)",
        "self.place(torch.tensor(0.0).expand(1, n))",
    ],
)
def test_what_a_constructor_makes_in_torchs_default_dtype_has_that_of_the_model(value: str) -> None:
    code = "\n".join(lines(BUFFERS.replace("VALUE", value)))
    assert "dtype=self.compute_dtype" in code


@pytest.mark.parametrize("value", ["torch.tensor([1, 2])", "torch.arange(n).float() * -0.5"])
def test_what_a_constructor_makes_in_a_dtype_of_its_own_keeps_it(value: str) -> None:
    assert "compute_dtype" not in "\n".join(lines(BUFFERS.replace("VALUE", value)))


def test_a_dtype_that_callers_choose_may_differ_from_the_model() -> None:
    source = """
        def step(x: torch.Tensor, y: torch.Tensor, dtype_state: torch.dtype = torch.float32):
            return x + y.to(dtype_state)

        def run(x: torch.Tensor, y: torch.Tensor, name: str):
            return step(x, y, dtype_state=DTYPE)
        """
    chosen = lines(source.replace("DTYPE", "getattr(torch, name)"))
    assert "    return ops.add(x, ops.cast(y, dtype_state))" in chosen
    assert "    return x + ops.cast(y, dtype_state)" in lines(source.replace("DTYPE", "x.dtype"))


def test_integers_are_compared_with_limits_that_may_be_infinite() -> None:
    code = body(
        """
        limit = float("inf") if flag else table.length
        return i < limit, i == limit, i < 3
        """
    )
    assert code[-1] == "return ops.less(i, limit), i == limit, i < 3"


def test_products_with_vectors_are_functions() -> None:
    bins = body("bins = torch.linspace(0.0, 1.0, 5)\nreturn x @ bins.to(x.dtype), x @ y")
    assert bins[-1] == "return ops.matmul(x, ops.cast(bins, x.dtype)), x @ y"


def test_activations_give_what_they_are_given() -> None:
    source = """
        from transformers.activations import ACT2FN

        def f(x: torch.FloatTensor):
            return ACT2FN["silu"](x.to(torch.float32))
        """
    assert kind_at(source, 'ACT2FN["silu"](x.to(torch.float32))').dtype == "float32"


def test_the_largest_of_unknown_values_is_no_number() -> None:
    source = """
        def f(grids):
            grid = next(grids)
            return max(grid[1], grid[2])
        """
    assert kind_at(source, "max(grid[1], grid[2])").is_unknown


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        ("isinstance(x, (tuple, list)) and len(x) == 2", "x, (tuple"),
        ("isinstance(mapping := x, dict)", "x, dict"),
    ],
)
def test_what_isinstance_asks_about_is_not_known(asked: str, place: str) -> None:
    source = f"""
        def f(x: torch.Tensor):
            if {asked}:
                return x
            return x.sum()
        """
    assert kind_after(source, asked[: asked.index(place) + 1], "x").is_unknown


def test_a_layer_may_be_of_two_classes() -> None:
    source = """
        class A(nn.Module):
            def forward(self, x: torch.Tensor):
                return x

        class B(nn.Module):
            def forward(self, x: torch.Tensor):
                return x

        class Block(nn.Module):
            def __init__(self, config):
                super().__init__()
                if config.sparse:
                    self.mlp = A()
                else:
                    self.mlp = B()

            def forward(self, x: torch.Tensor):
                return [self.mlp]
        """
    assert kind_at(source, "[self.mlp]").name == "A|B"


def test_a_field_that_becomes_a_list_was_none_before() -> None:
    source = """
        class Model(nn.Module):
            def features(self, x: torch.Tensor):
                outputs = self.tower(x)
                outputs.pooler_output = torch.split(outputs.pooler_output, 2)
                return outputs

            def forward(self, x: torch.Tensor):
                return self.features(x).pooler_output
        """
    assert kind_after(source, "torch.split(outputs.pooler_output", "outputs.pooler_output") == (
        UNKNOWN
    )
    assert kind_at(source, "self.features(x).pooler_output").tag == "list"


def test_what_stays_in_float32_may_meet_what_does_not() -> None:
    code = lines(
        """
        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.sinks = nn.Parameter(torch.zeros(3))
                self.scale = nn.Parameter(torch.zeros(3))

            def forward(self, x: torch.FloatTensor):
                return x + self.sinks, x + self.scale

        class Model(PreTrainedModel):
            _keep_in_fp32_modules_strict = ["sinks"]
        """
    )
    assert "        return ops.add(x, self.sinks), x + self.scale" in code


def test_a_tensor_keeps_its_dtype_when_something_is_added_in_place() -> None:
    code = lines(
        """
        def f(x: torch.FloatTensor, y: torch.FloatTensor):
            x += y.to(torch.float32)
            return x
        """
    )
    assert '    x = ops.cast(ops.add(x, ops.cast(y, "float32")), x.dtype)' in code


def test_what_is_made_in_a_call_is_float32_and_what_a_constructor_makes_the_model_s() -> None:
    source = """
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.table = nn.Buffer(torch.zeros(3), persistent=False)
                self.scale = nn.Buffer(torch.tensor(0.5), persistent=False)
                self.other = self.make(3)

            def make(self, n: int):
                return torch.zeros(n)

            def forward(self, x: torch.FloatTensor):
                return x * torch.ones(3)
        """
    assert kind_at(source, "torch.zeros(n)").dtype == "float"
    assert kind_at(source, "torch.ones(3)").dtype == "float32"
    code = lines(source)
    own = "dtype=self.compute_dtype"
    assert f"        self.table = layers.buffer(ops.zeros((3,)), {own})" in code
    assert f"        self.scale = layers.buffer(kf.tensor(0.5), {own})" in code
    assert "        return ops.multiply(x, ops.ones((3,)))" in code


def test_layers_that_a_constructor_appends_are_known_by_their_place() -> None:
    source = """
        class First(nn.Module):
            def forward(self, x):
                return x, None

        class Last(nn.Module):
            def forward(self, x):
                return x.float()

        class Block(nn.Module):
            def __init__(self, wide: bool):
                super().__init__()
                self.layer = nn.ModuleList()
                self.layer.append(First())
                if wide:
                    self.layer.append(First())
                self.layer.append(Last())

            def forward(self, x: torch.FloatTensor):
                a = self.layer[0]
                b = self.layer[1]
                return self.layer[-1](x)
        """
    assert kind_at(source, "self.layer[0]") == Kind("layer", name="First")
    assert kind_at(source, "self.layer[1]") == Kind("layer", name="First|Last")
    assert kind_at(source, "self.layer[-1](x)").dtype == "float32"


def test_a_dtype_that_a_loop_changes_differs_from_round_to_round() -> None:
    source = """
        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.wo = nn.Linear(3, 3)

            def forward(self, x):
                return x + self.wo(x)

        class Model(PreTrainedModel):
            _keep_in_fp32_modules = ["wo"]

            def __init__(self, config):
                super().__init__(config)
                self.dropout = nn.Dropout(0.1)
                self.block = nn.ModuleList([Block() for _ in range(2)])

            def forward(self, x: torch.FloatTensor):
                for block in self.block:
                    x = block(x)
                return x
        """
    assert "        return ops.add(x, self.wo(x))" in lines(source)


def test_a_mask_times_a_fraction_may_be_float32() -> None:
    source = """
        def f(x: torch.FloatTensor, attention_mask: torch.Tensor):
            return x + (1 - attention_mask) * torch.finfo(x.dtype).min
        """
    assert lines(source)[1] == (
        "    return ops.add(x, ops.multiply(1 - attention_mask, kf.finfo(x.dtype).min))"
    )


def test_what_may_be_of_integers_is_compared_with_a_fraction_by_a_function() -> None:
    source = """
        def f(x: torch.Tensor, y: torch.FloatTensor):
            return x > 0.5, y > 0.5
        """
    assert lines(source)[1] == "    return ops.greater(x, 0.5), y > 0.5"


def test_what_a_plain_mapping_holds_is_not_known() -> None:
    source = """
        def f(masks: dict):
            return masks.get("causal")
        """
    assert kind_at(source, 'masks.get("causal")').is_unknown


def test_what_has_axes_is_no_mapping_whatever_its_annotation_says() -> None:
    source = """
        def f(bbox: dict):
            return bbox[:, :, [0, 2]]
        """
    assert kind_at(source, "bbox").is_unknown


@pytest.mark.parametrize(
    ("name", "expected"), [("kernel_size", PY), ("hidden_size", Kind("dim", name="annotated"))]
)
def test_sizes_of_kernels_may_be_one_for_each_axis(name: str, expected: Kind) -> None:
    source = f"""
        class Conv(nn.Module):
            def __init__(self, {name}: int):
                super().__init__()
                self.size = {name}

        class Model(nn.Module):
            def __init__(self, config):
                super().__init__()
                self.conv = Conv(config.size)
        """
    assert kind_at(source, name) == expected


def test_an_attribute_that_is_none_first_and_set_later_is_not_known_to_be_none() -> None:
    source = """
        class Model(nn.Module):
            def __init__(self, names: list[str]):
                super().__init__()
                self.keys = None
                for name in names:
                    if self.keys is None:
                        self.keys = {name: name}
        """
    assert kind_after(source, "if self.keys", "self.keys") == Kind("dict", optional=True)


def test_a_class_method_is_called_without_its_class() -> None:
    source = """
        class Attention(nn.Module):
            @classmethod
            def _merge(cls, tensor, heads):
                return tensor.permute(0, 2, 1)

            def forward(self, x: torch.FloatTensor):
                return self._merge(x, 2)
        """
    assert kind_at(source, "tensor").is_tensor
    assert "        return ops.transpose(tensor, (0, 2, 1))" in lines(source)


def test_what_only_constructors_call_makes_tensors_of_the_model_s_dtype() -> None:
    source = """
        def make(config):
            vector = torch.ones(3)
            return vector

        class Model(nn.Module):
            def __init__(self, config):
                super().__init__()
                self.vector = nn.Buffer(make(config), persistent=False)
        """
    assert "        self.vector = layers.buffer(make(config), dtype=self.compute_dtype)" in lines(
        source
    )


def test_what_has_a_method_of_tensors_is_no_list() -> None:
    source = """
        def f(x: list, dtype):
            x.append(1)
            return x.to(dtype=dtype)
        """
    assert lines(source)[1:] == ["    x.append(1)", "    return ops.cast(x, dtype)"]


def test_a_mask_that_is_made_may_be_of_truth_values() -> None:
    source = """
        from transformers.masking_utils import create_bidirectional_mask

        def f(config, x: torch.FloatTensor):
            return create_bidirectional_mask(config=config, inputs_embeds=x)
        """
    assert kind_at(source, "create_bidirectional_mask(config=config, inputs_embeds=x)").dtype == (
        "mask"
    )


def test_products_of_vectors_are_functions() -> None:
    vector, matrix = Kind("tensor", "float", 1), Kind("tensor", "float", 2)
    assert needs_function("@", matrix, vector)
    assert not needs_function("@", matrix, matrix)


def test_what_is_indexed_is_no_number() -> None:
    source = """
        class Conv(nn.Module):
            def __init__(self, kernel_size: int, stride: int):
                super().__init__()
                self.padding = (kernel_size[0] // 2, kernel_size[1] // 2)
                self.stride = stride
        """
    assert kind_at(source, "kernel_size") == PY
    assert kind_at(source, "stride").tag == "dim"


def test_a_factor_of_a_config_may_be_a_fraction() -> None:
    source = """
        class Resize(nn.Module):
            def __init__(self, factor: int):
                super().__init__()
                self.factor = factor

        class Model(nn.Module):
            def __init__(self, config):
                super().__init__()
                self.layers = nn.ModuleList()
                for each in config.sizes:
                    self.layers.append(Resize(each))
        """
    assert kind_at(source, "factor") == Kind("dim", "mixed", name="annotated")


@pytest.mark.parametrize(
    ("name", "annotation", "expected"),
    [
        ("pixel_mask", "torch.BoolTensor", "mask"),
        ("padding_mask", "torch.BoolTensor", "mask"),
        ("encoder_attention_mask", "torch.LongTensor", "mask"),
        ("attention_mask", "torch.LongTensor", "int64"),
        ("token_mask", "torch.BoolTensor", "bool"),
    ],
)
def test_masks_that_are_made_may_be_of_another_dtype(
    name: str, annotation: str, expected: str
) -> None:
    source = f"""
        def f({name}: {annotation}):
            return {name}
        """
    assert kind_at(source, name) == Kind("tensor", expected)


@pytest.mark.parametrize(
    ("name", "expected"), [("values_padding", "mask"), ("token_mask", "mask"), ("codes", "int64")]
)
def test_a_mask_of_unknown_dtype_is_no_mask_of_integers_alone(name: str, expected: str) -> None:
    source = f"""
        def f({name}: torch.LongTensor):
            return {name}

        def g(x: torch.Tensor):
            return f(x * 1)
        """
    assert kind_at(source, name) == Kind("tensor", expected)


def test_sizes_of_kernels_of_a_config_may_be_several_beside_numbers() -> None:
    source = """
        class Conv(nn.Module):
            def __init__(self, stride: int = 1):
                super().__init__()
                self.size = stride

        class Model(nn.Module):
            def __init__(self, config, stride):
                super().__init__()
                self.first = Conv(stride=2)
                self.second = Conv(config.strides[0])
                self.third = Conv(stride)
        """
    assert kind_after(source, "self.size = stride", "stride") == PY


def test_a_list_of_layers_may_get_layers_of_another_class() -> None:
    source = """
        class Model(nn.Module):
            def __init__(self, n):
                super().__init__()
                blocks = [nn.Linear(4, 4) for i in range(n)]
                blocks.append(nn.LayerNorm(4))
                self.blocks = nn.ModuleList(blocks)
                stages = [nn.Linear(4, 4)]
                for i in range(n):
                    stages.append(nn.LayerNorm(4))
                self.stages = nn.ModuleList(stages)
        """
    both = Kind("layers", name="nn.Linear|nn.LayerNorm")
    assert kind_after(source, "ModuleList(blocks", "blocks") == both
    assert kind_after(source, "range(n):\n            stages", "stages") == Kind("layers")
    assert kind_after(source, "ModuleList(stages", "stages") == Kind("layers")


def test_what_is_updated_by_several_values_is_no_dict() -> None:
    source = """
        def f(caches, key, x: torch.Tensor, y: torch.Tensor):
            caches[key].update({})
            return caches[key].update(x, y)
        """
    assert kind_at(source, "caches[key].update({})") == PY
    assert kind_at(source, "caches[key].update(x, y)").is_unknown


def test_a_sum_that_is_recorded_as_a_number_and_a_tensor_is_either() -> None:
    source = "def f(layers, x):\n    y = 0.0\n    for each in layers:\n        y = each(x) + y\n"
    place = "4:22:4:23"
    _, found = map_source(source, filename="f.py", facts={place: "float|tensor:float:2"})
    assert place not in found.kinds


@pytest.mark.parametrize("filled", ["x * 1", "model.embed(x)"])
def test_a_field_that_is_a_list_here_and_a_tensor_there_is_neither(filled: str) -> None:
    source = f"""
        def images(model, x: torch.Tensor):
            outputs = model(x)
            outputs.pooler_output = torch.split(x, 2)
            return outputs

        def sounds(model, x: torch.Tensor):
            return BaseModelOutputWithPooling(pooler_output={filled})

        def f(outputs):
            return outputs.pooler_output
        """
    assert kind_at(source, "outputs.pooler_output").is_unknown


def test_a_field_of_several_kinds_belies_an_annotation() -> None:
    source = """
        def images(model, x: torch.Tensor):
            outputs = model(x)
            outputs.pooler_output = torch.split(x, 2)
            return BaseModelOutputWithPooling(pooler_output=x)

        def tokens(features: torch.Tensor, x: torch.Tensor):
            return features, x

        def f(outputs):
            return tokens(outputs.pooler_output, outputs.last)
        """
    assert kind_after(source, "return features", "features").is_unknown
    assert kind_after(source, "return features, x", "x").is_tensor


def test_weights_of_layers_that_are_kept_in_float32_may_be_of_another_dtype() -> None:
    source = """
        class Gate(nn.Module):
            def __init__(self):
                super().__init__()
                self.scale = nn.Parameter(torch.ones(4))

            def forward(self, x: torch.FloatTensor):
                return self.scale * 2 * x

        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.gate = Gate()

        class Model(nn.Module):
            _keep_in_fp32_modules = ["gate"]
        """
    assert kind_at(source, "self.scale") == Kind("tensor", "mixed")
    assert kind_at(source.replace('["gate"]', "[]"), "self.scale") == FLOAT_TENSOR
