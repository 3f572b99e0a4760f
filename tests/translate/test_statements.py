"""Statements: folded conditions, dropped contexts and guards, in-place work as rebinding, devices
gone.
"""

from __future__ import annotations

import pytest

from translate.porting import body, lines, port, text


def check(source: str, expected: str) -> None:
    assert "\n".join(body(source)) == text(expected)


def test_a_condition_that_is_always_true_leaves_its_body() -> None:
    check(
        """
        if torch.jit.is_tracing():
            x = x + 1
        elif flag:
            x = x + 2
        else:
            x = x + 3
        """,
        "x = x + 1",
    )


def test_a_condition_that_is_never_true_vanishes() -> None:
    check(
        """
        if torch.cuda.is_available():
            x = x + 1
        elif flag:
            x = x + 2
        else:
            x = x + 3
        """,
        """
        if flag:
            x = x + 2
        else:
            x = x + 3
        """,
    )


def test_a_folded_elif_becomes_else() -> None:
    check(
        """
        if flag:
            x = x + 1
        elif torch.cuda.is_available():
            x = x + 2
        else:
            x = x + 3
        """,
        """
        if flag:
            x = x + 1
        else:
            x = x + 3
        """,
    )
    check(
        """
        if flag:
            x = x + 1
        elif torch.jit.is_tracing():
            x = x + 2
        else:
            x = x + 3
        """,
        """
        if flag:
            x = x + 1
        else:
            x = x + 2
        """,
    )


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("flag and torch.cuda.is_available()", None),
        ("flag or torch.cuda.is_available()", "if flag:"),
        ("flag and not torch.cuda.is_available()", "if flag:"),
        ("flag and x.device.type == 'cuda'", None),
        ("x.device.type != 'mps' and flag", "if flag:"),
    ],
)
def test_known_sides_of_conditions_are_folded(test: str, expected: str | None) -> None:
    ported = body(f"if {test}:\n    x = y\nreturn x")
    assert ported == ([expected, "    x = y", "return x"] if expected else ["return x"])


def test_conditional_expressions_are_folded() -> None:
    check("x = y if torch.cuda.is_available() else x * 2", "x = x * 2")


@pytest.mark.parametrize(
    "guard",
    [
        'if x.shape[0] != 2:\n    raise ValueError("two")',
        'if x.size() != (2, 3):\n    raise ValueError("two")',
        'if x.sum() > 3:\n    raise ValueError("much")',
        "assert x.shape[0] == 2",
        'assert (x > 0).all(), "positive"',
        "torch._check(x.shape[0] > 1)",
        "torch.manual_seed(3)",
    ],
)
def test_checks_of_tensor_values_and_sizes_vanish(guard: str) -> None:
    assert body(f"{guard}\nreturn x") == ["return x"]


def test_checks_of_python_values_stay() -> None:
    check(
        """
        if flag is None:
            raise ValueError("a flag, please")
        assert flag, "a flag"
        """,
        """
        if flag is None:
            raise ValueError("a flag, please")
        assert flag, "a flag"
        """,
    )


def test_contexts_of_torch_vanish_and_others_stay() -> None:
    check(
        """
        with torch.no_grad(), open("file") as handle:
            # inside
            x = x + 1
        with torch.autocast(device_type="cuda", enabled=False):  # why
            x = x + 2
        with torch.no_grad():
            pass
        """,
        """
        with open("file") as handle:
            # inside
            x = x + 1
        # why
        x = x + 2
        """,
    )


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("x.add_(y)", "x = ops.add(x, y)"),
        ("x.mul_(2).clamp_(min=0)", "x = ops.maximum(ops.multiply(x, 2), 0)"),
        ("x.masked_fill_(m, 0.0)", "x = kf.masked_fill(x, m, 0.0)"),
        ("x.fill_(1.0)", "x = ops.full_like(x, 1.0)"),
        ("x.zero_()", "x = ops.zeros_like(x)"),
        ("x[0].add_(y)", "x = kf.setitem(x, 0, ops.add(x[0], y))"),
        ("x.data.copy_(y)", "x = ops.broadcast_to(ops.cast(y, x.dtype), ops.shape(x))"),
        ("y = x.add_(1)", "y = ops.add(x, 1)"),
    ],
)
def test_in_place_methods_bind_their_name(statement: str, expected: str) -> None:
    assert body(f"x = y * 1\n{statement}")[-1] == expected


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("x[0] = y", "x = kf.setitem(x, 0, y)"),
        ("x[:, 1:] = 0", "x = kf.setitem(x, (slice(None), slice(1, None)), 0)"),
        ("x[::2] = 0", "x = kf.setitem(x, slice(None, None, 2), 0)"),
        ("x[..., i] = y", "x = kf.setitem(x, (..., i), y)"),
        ("x[m] = -1", "x = kf.setitem(x, m, -1)"),
        ("x[None, 0] = y", "x = kf.setitem(x, (None, 0), y)"),
        ("x[0][1:] = 2", "x = kf.setitem(x, 0, kf.setitem(x[0], slice(1, None), 2))"),
        ("x[0] += 1", "x = kf.setitem(x, 0, x[0] + 1)"),
        ("x[m] *= 2", "x = kf.setitem(x, m, kf.getitem(x, m) * 2)"),
    ],
)
def test_assignment_to_parts_of_tensors(statement: str, expected: str) -> None:
    assert body(f"x = y * 1\n{statement}")[-1] == expected


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("x[0] = y", "x = kf.assign(x, kf.setitem(x, 0, y))"),
        ("x.add_(y)", "x = kf.assign(x, ops.add(x, y))"),
        ("x = x.clone()\nx.add_(y)", "x = ops.add(x, y)"),
        ("y = x\ny[0] = 1", "y = kf.setitem(y, 0, 1)"),
    ],
)
def test_what_a_caller_may_hold_is_written_back(statement: str, expected: str) -> None:
    assert body(statement)[-1] == expected


def test_assignment_to_parts_of_attributes_and_containers() -> None:
    ported = lines(
        """
        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.cache = torch.zeros(3, 4)

            def forward(self, x: torch.FloatTensor, table: dict):
                self.cache[0] = x
                self.cache.mul_(2)
                table["a"] = x
                table["a"][0] = x
                return table
        """
    )
    assert [line.strip() for line in ported[-5:]] == [
        "self.cache = kf.setitem(self.cache, 0, x)",
        "self.cache = ops.multiply(self.cache, 2)",
        'table["a"] = x',
        'table["a"] = kf.dynamic.setitem(table["a"], 0, x)',
        "return table",
    ]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("x += y", "x += y"),
        ("x += i", "x = ops.add(x, i)"),
        ("x *= y.shape[0]", "x = ops.multiply(x, ops.shape(y)[0])"),
        ("i //= 2", "i //= 2"),
        ("m |= i > 0", "m |= i > 0"),
        ("count = 0\ncount += 1", "count += 1"),
    ],
)
def test_augmented_assignment(statement: str, expected: str) -> None:
    assert body(statement)[-1] == expected


def test_devices_vanish() -> None:
    check(
        """
        device = x.device
        y = y.to(device)
        i = torch.arange(4, device=device)
        z = g(x, device=device)
        x = x.to("cuda:0").to(torch.float32)
        return torch.zeros(2, device=x.device if flag else "cpu")
        """,
        """
        i = ops.arange(4, dtype="int64")
        z = g(x)
        x = ops.cast(x, "float32")
        return ops.zeros((2,))
        """,
    )


def test_parameters_for_devices_vanish() -> None:
    assert (
        lines("def f(x: torch.Tensor, device: torch.device = None, *, flag=True):\n    return x")[0]
        == "def f(x: Tensor, *, flag=True):"
    )


def test_initialisers_name_the_weight() -> None:
    ported = lines(
        """
        class Block(nn.Module):
            def _init_weights(self, module):
                module.weight.data.normal_(mean=0.0, std=0.02)
                module.bias.data.zero_()
                nn.init.xavier_uniform_(module.weight, gain=2.0)
                nn.init.ones_(module.weight[0])
        """
    )
    assert [line.strip() for line in ported[2:]] == [
        'init.normal_(module, "weight", mean=0.0, std=0.02)',
        'init.zeros_(module, "bias")',
        'init.xavier_uniform_(module, "weight", gain=2.0)',
        'init.ones_(module, "weight", index=0)',
    ]


def test_what_a_function_of_the_file_makes_fills_a_weight_by_its_layer_and_name() -> None:
    ported = lines(
        """
        def small(dim):
            def init_(tensor):
                return nn.init.normal_(tensor, std=dim**-0.5)

            return init_

        class Block(nn.Module):
            def _init_weights(self, module):
                small(3)(module.weight)
        """
    )
    assert "        return init.normal_(tensor, std=dim**-0.5)" in ported
    assert ported[-1] == '        small(3)(init.Weight(module, "weight"))'


def test_compound_statements_stay() -> None:
    source = """
        for index, (a, b) in enumerate(zip(x, y)):
            if flag:
                continue
            break
        else:
            x = y
        while flag:
            flag = False
        try:
            x = g(x)
        except (ValueError, KeyError) as error:
            raise RuntimeError("no") from error
        finally:
            flag = True
        del flag
        """
    assert "\n".join(body(source)) == text(source)


def test_a_function_of_which_nothing_is_left_passes() -> None:
    assert port("def f(x: torch.Tensor):\n    assert x.shape[0] == 1\n").code.endswith(
        "def f(x: Tensor):\n    pass\n"
    )


def test_what_a_file_does_as_a_script_is_left_out() -> None:
    code = port("x = 1\n\n\nif __name__ == '__main__':\n    torch.optim.Adam([])\n")
    assert code.refusals == []
    assert "__main__" not in code.code


def test_what_follows_a_condition_that_always_leaves_is_dropped() -> None:
    assert body(
        """
        if flag:
            if torch.compiler.is_compiling():
                raise ImportError("none")
            import fast_kernels
            fast_kernels.run(x)
        return x
        """
    ) == ["if flag:", '    raise ImportError("none")', "return x"]


def test_a_try_that_imports_an_unknown_package_goes_to_its_handler() -> None:
    assert body(
        """
        try:
            import fast_kernels

            return fast_kernels.run(x)
        except Exception:
            # none
            return x
        """
    ) == ["# none", "return x"]


def test_a_loop_of_a_constructor_is_no_scan() -> None:
    ported = lines(
        """
        class Heads(nn.Module):
            def __init__(self, sizes):
                super().__init__()
                heads = []
                for index in range(len(sizes)):
                    heads.append(nn.Linear(sizes[index], 3))
                self.heads = nn.ModuleList(heads)
        """
    )
    assert "        for index in range(len(sizes)):" in ported


def test_what_a_mapping_holds_may_be_indexed_by_a_tensor() -> None:
    code = body(
        """
        for table, one in zip(*flag):
            z = one["scores"][table]
            z = table[one["places"]]
        """
    )
    assert code[1:] == [
        '    z = kf.dynamic.getitem(one["scores"], table)',
        '    z = kf.dynamic.getitem(table, one["places"])',
    ]


def test_a_scan_hands_on_what_its_body_reads_before_it_is_bound() -> None:
    code = lines(
        """
        def f(x: torch.Tensor, state=None):
            if state is None:
                total = torch.zeros_like(x[:, 0])
            else:
                total = state["total"]
            parts = []
            for i in range(x.shape[1]):
                total = total + x[:, i]
                parts.append(total[:, None])
            return torch.cat(parts, dim=1), total
        """
    )
    assert "    def step(i, total):" in code
    assert code[-2:] == [
        "    (total,), (parts,) = kf.scan(step, (total,), ops.shape(x)[1], axis=1)",
        "    return parts, total",
    ]


def test_a_scan_hands_on_what_a_tuple_within_a_tuple_assigns() -> None:
    code = lines(
        """
        def f(x: torch.Tensor, total: torch.Tensor, most: torch.Tensor):
            parts = []
            for i in range(x.shape[1]):
                part, (total, most) = step(x[:, i], total, most)
                parts.append(part)
            return torch.stack(parts), total
        """
    )
    assert "    def step(i, total, most):" in code
    call = "kf.scan(step, (total, most), ops.shape(x)[1])"
    assert code[-2:] == [f"    (total, most), (parts,) = {call}", "    return parts, total"]


def test_a_loop_that_adds_to_what_another_one_gathers_is_no_scan() -> None:
    source = """
        def f(xs: list[torch.Tensor]):
            parts = []
            for x in xs:
                for i in range(x.shape[0]):
                    parts.append(x[i])
            return torch.stack(parts)
        """
    code = lines(source)
    assert "            parts.append(x[i])" in code
    assert "scan" not in "\n".join(code)


def test_a_list_that_a_scan_fills_is_asked_for_none() -> None:
    code = lines(
        """
        def f(x: torch.Tensor):
            parts = []
            total = x[:, 0]
            for i in range(x.shape[1]):
                total = total + x[:, i]
                parts.append(total)
            if parts:
                return torch.stack(parts, dim=1)
            return x
        """
    )
    assert "    if parts is not None:" in code


@pytest.mark.parametrize(
    "body",
    [
        "n = n + 1\n        parts.append(x[:, i] * n)",
        "if i > 1:\n            parts.append(x[:, i])",
    ],
)
def test_loops_that_count_or_gather_sometimes_are_no_scans(body: str) -> None:
    code = lines(
        "def f(x: torch.Tensor):\n    n = 0\n    parts = []\n"
        f"    for i in range(x.shape[1]):\n        {body}\n    return torch.stack(parts)\n"
    )
    assert not any("kf.scan" in line for line in code)


def test_leaving_training_is_said_by_each_call() -> None:
    code = lines(
        """
        class Frozen(nn.Module):
            def __init__(self, config):
                super().__init__()
                self.inner = nn.Linear(2, 3)
                self.inner.eval()
                self.eval()
        """
    )
    assert not any("eval" in line for line in code)


def test_rows_of_lengths_that_a_tensor_says_are_no_scan() -> None:
    code = lines(
        """
        def f(x: torch.Tensor, lengths: torch.LongTensor):
            rows = []
            for i in range(x.shape[0]):
                rows.append(x[i, : lengths[i]])
            return rows
        """
    )
    assert not any("kf.scan" in line for line in code)


def test_what_stands_in_for_a_missing_package_is_translated() -> None:
    code = lines(
        """
        from transformers.utils import is_xlstm_available

        if is_xlstm_available():
            from xlstm import Block
        else:
            class Block(nn.Module):
                def forward(self, x: torch.FloatTensor):
                    return x

        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.block = Block()
        """
    )
    assert code[0] == "class TFBlock(Layer):"
    assert '        self.block = TFBlock(name="block")' in code


def test_a_part_of_a_list_of_layers_that_are_added_by_name_is_not_registered() -> None:
    code = lines(
        """
        class Decoder(nn.Module):
            def __init__(self, widths: list[int]):
                super().__init__()
                found = []
                for number, width in enumerate(widths):
                    layer = nn.Linear(width, width)
                    self.add_module(f"adapter_{number}", layer)
                    found.append(layer)
                self.layers = found[::-1]
        """
    )
    assert "        self.layers = tree.Unregistered(found[::-1])" in code


def test_a_plain_list_to_which_layers_are_appended_is_not_registered() -> None:
    code = lines(
        """
        class Decoder(nn.Module):
            def __init__(self, widths: list[int]):
                super().__init__()
                self.names = []
                self.layers = []
                for width in widths:
                    self.names.append(str(width))
                    self.layers.append(nn.Linear(width, width))
        """
    )
    assert "        self.layers = tree.Unregistered([])" in code
    assert "        self.names = []" in code


def test_options_of_what_is_made_come_from_a_mapping_without_the_device() -> None:
    assert body(
        """
        options = {"device": x.device, "dtype": x.dtype}
        return torch.zeros(2, 3, **options)
        """
    ) == ['options = {"dtype": x.dtype}', "return ops.zeros((2, 3), **options)"]


def test_a_number_in_a_tensor_without_axes_is_a_number() -> None:
    assert body(
        """
        total = torch.full((), 0.0)
        for row in x:
            total = total + row
        return total, torch.full((), 0.5, dtype=x.dtype)
        """
    ) == [
        "total = 0.0",
        "for row in x:",
        "    total = total + row",
        "return total, kf.full((), 0.5, dtype=x.dtype)",
    ]


def test_a_variable_is_filled_with_another_tensor_without_a_name() -> None:
    code = lines(
        """
        class Model(PreTrainedModel):
            @torch.no_grad()
            def _init_weights(self, module):
                for name, p in module.named_parameters():
                    nn.init.copy_(p, p / 2)
        """,
        imports="import torch\nfrom torch import nn\n"
        "from transformers import PreTrainedModel\n\n\n",
    )
    assert "            init.copy_(p, None, ops.divide(p, 2))" in code


def test_rows_that_a_loop_writes_to_are_put_back_into_their_tensor() -> None:
    check(
        """
        whole = torch.zeros(3, 4)
        for each, row in zip(xs, whole):
            row[:2] = each
        """,
        """
        whole = ops.zeros((3, 4))
        row_rows = []
        for each, row in zip(xs, whole):
            row = kf.setitem(row, slice(None, 2), each)
            row_rows.append(row)
        whole = kf.setitem(whole, slice(None, len(row_rows)), ops.stack(row_rows))
        """,
    )


def test_a_loop_that_leaves_before_its_rows_are_written_is_refused() -> None:
    ported = port(
        """
        def f(xs):
            whole = torch.zeros(3, 4)
            for each, row in zip(xs, whole):
                if each is None:
                    continue
                row[:2] = each
            return whole
        """
    )
    assert [refusal.rule for refusal in ported.refusals] == ["loop.rows"]
