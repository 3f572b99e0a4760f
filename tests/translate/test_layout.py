"""Layout: lines fit, comments stay where they were, calls written one argument a line stay so."""

from __future__ import annotations

import pytest

from keraform.translate.layout import WIDTH
from translate.porting import body, lines, port, text


def test_comments_stay_above_and_beside() -> None:
    assert "\n".join(
        lines(
            """
            # above the function
            def f(x: torch.Tensor):  # beside the head
                # first
                x = x + 1  # beside

                # second, after a blank line
                return x
                # last
            """
        )
    ) == text(
        """
        def f(x: Tensor):  # beside the head
            # first
            x = x + 1  # beside

            # second, after a blank line
            return x
            # last
        """
    )


def test_comments_above_the_first_function_stay() -> None:
    assert (
        "# above the function\ndef f(x: Tensor):"
        in port(
            """
        # above the function
        def f(x: torch.Tensor):
            return x
        """
        ).code
    )


def test_comments_between_brackets_stay_with_their_element() -> None:
    assert body(
        """
        x = torch.cat([
            x,  # the left one
            # the right one
            y,
        ], dim=-1)
        """
    ) == [
        "x = ops.concatenate(",
        "    [",
        "        x,  # the left one",
        "        # the right one",
        "        y,",
        "    ],",
        "    axis=-1,",
        ")",
    ]


@pytest.mark.parametrize(
    "source",
    [
        "x = (\n    x\n    + y  # why\n)",
        "x = (\n    x.unsqueeze(1)  # why\n    .squeeze(1)\n)",
        "x = x[\n    0,\n    # why\n    1:,\n]",
        "x = x[  # why\n    0\n]",
        "x = (  # why\n    y\n)",
        "x = x.view(\n    # why\n    -1\n)",
        "assert (\n    flag  # why\n)",
    ],
    ids=["operator", "method chain", "index", "bracket", "parenthesis", "argument", "assert"],
)
def test_comments_inside_expressions_go_above_the_statement(source: str) -> None:
    ported = body(source)
    assert [line.strip() for line in ported].count("# why") == 1
    assert len([line for line in ported if line.strip() != "# why"]) >= 1


def test_comments_of_parameters_stay() -> None:
    assert lines(
        """
        def f(
            x: torch.Tensor,  # the input
            # may be anything
            # at all
            **kwargs,  # passed on
        ):
            return x
        """
    ) == [
        "def f(",
        "    x: Tensor,  # the input",
        "    # may be anything",
        "    # at all",
        "    **kwargs,  # passed on",
        "):",
        "    return x",
    ]


def test_comments_of_decorators_stay() -> None:
    ported = lines(
        """
        class Block(nn.Module):
            @property  # a property
            # between
            def size(self):
                return 1
        """
    )
    assert ported[1:4] == ["    @property  # a property", "    # between", "    def size(self):"]


def test_long_calls_are_broken_at_the_width() -> None:
    names = ", ".join(f"argument_number_{n}=x" for n in range(6))
    ported = body(f"x = some_function({names})")
    assert ported[0] == "x = some_function("
    assert ported[-1] == ")"
    assert all(len(line) + 4 <= WIDTH for line in ported)


def test_long_sums_get_parentheses() -> None:
    terms = " + ".join(f"x * a_long_name_of_a_scale_{n}" for n in range(5))
    ported = body(f"y = {terms}")
    assert (ported[0], ported[-1]) == ("y = (", ")")
    assert all(line.strip().startswith(("x", "+")) for line in ported[1:-1])


def test_long_conditions_get_parentheses() -> None:
    tests = " and ".join(f"a_long_condition_number_{n}(flag)" for n in range(5))
    ported = body(f"if {tests}:\n    x = y")
    assert (ported[0], ported[-2], ported[-1]) == ("if (", "):", "    x = y")


def test_short_calls_are_joined_and_calls_with_a_last_comma_are_not() -> None:
    assert body("x = g(\n    x, y\n)") == ["x = g(x, y)"]
    assert body("x = g(\n    x,\n    y,\n)") == ["x = g(", "    x,", "    y,", ")"]


@pytest.mark.parametrize(
    "source",
    [
        "x = [\n    x,\n    y,\n]",
        "x = (\n    x,\n    y,\n)",
        "x = {\n    1: x,\n    2: y,\n}",
        "x = {\n    1,\n    2,\n}",
        "return (\n    x,\n    y,\n)",
    ],
)
def test_displays_with_a_last_comma_stay_one_a_line(source: str) -> None:
    assert "\n".join(body(source)) == source
    assert len(body(source.replace(",\n}", "\n}").replace(",\n]", "\n]"))) in (1, 4)


def test_long_tuples_get_parentheses() -> None:
    names = [f"a_long_name_of_a_value_{n}" for n in range(6)]
    assert body(f"return {', '.join(names)}") == [
        "return (",
        *(f"    {name}," for name in names),
        ")",
    ]


def test_comments_that_do_not_fit_beside_go_above() -> None:
    long = "# " + "word " * 22 + "end"
    ported = body(f"x = some_function(x, y)  {long}")
    assert ported == [long, "x = some_function(x, y)"]


def test_blank_lines_stay_at_most_two() -> None:
    code = port("def f(x):\n    return x\n\n\n\n\ndef g(x):\n    return x\n").code
    assert "\n\n\n\n" not in code
    assert "return x\n\n\ndef g" in code


def test_header_and_docstrings_stay() -> None:
    code = port(
        '''
        # Licence: of its own.
        """A model in PyTorch."""

        def f(x):
            """What f does,

            in two parts.
            """
            return x
        ''',
        imports="",
    ).code
    assert code.startswith(
        "# Licence: of its own.\n#\n# Generated by Keraform from modeling_mini.py"
    )
    assert '"""A model in Keras."""' in code
    assert '    """What f does,\n\n    in two parts.\n    """\n' in code
