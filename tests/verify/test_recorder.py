"""Recording: each statement and operation of live functions, with its place, and no trace after."""

from __future__ import annotations

import numpy as np
import pytest

from keraform.errors import KeraformError
from keraform.verify.given import import_file
from keraform.verify.leaves import Leaf
from keraform.verify.localising.recorder import Recorder, source_text

SOURCE = '''
import functools

def doubled(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs) * 2
    return wrapper

class Layer:
    """A class."""

    def __init__(self, width):
        self.width = width
        self.register("table", arange(width))

    def register(self, name, value):
        setattr(self, name, value)

    @doubled
    def call(self, x, mask=None):
        """What it does."""
        y = x + 1
        y[0] = 5
        y += 2
        for step in range(2):
            z = scaled(y, step)
        if mask is None:
            return z
        first, second = (
            z * 3,
            z.shape,
        )
        return first

def scaled(value, by):
    total = value.sum() * by
    return total

def arange(width):
    import numpy
    return numpy.arange(width)

def broken(x):
    y = x + 1
    raise ValueError(inner(y))

def inner(x):
    return x - 1
'''


def read(value):
    return Leaf(str(value.dtype), value.copy()) if isinstance(value, np.ndarray) else None


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "plain_layer.py"
    path.write_text(SOURCE, encoding="utf-8")
    return str(path), import_file(path, "plain_layer")


def run(file, function, **options):
    path, module = file
    recorder = Recorder(read, **options)
    with recorder.watching([path]):
        try:
            function(module)
        except ValueError:
            pass
    return recorder.executions


def line_of(text):
    return next(n for n, line in enumerate(SOURCE.split("\n"), 1) if text in line)


def test_statements_report_their_results_in_the_order_in_which_they_end(file):
    found = run(file, lambda module: module.Layer(3).call(np.zeros(3), mask=1))
    lines = [each.statement.line for each in found]
    assert lines.index(line_of("y = x + 1")) < lines.index(line_of("y[0] = 5"))
    assert lines.count(line_of("total = value.sum()")) == 2
    assert lines[-1] == line_of("return function(")  # the decorator's own
    by_line = {each.statement.line: each for each in found}
    assert by_line[line_of("y[0] = 5")].result["output"].array.tolist() == [5, 1, 1]
    assert by_line[line_of("y += 2")].result["output"].array.tolist() == [7, 3, 3]
    assert by_line[line_of("y += 2")].statement.targets == ("y",)
    many = by_line[line_of("first, second = (")]
    assert many.statement.end == many.statement.line + 3
    assert list(many.result) == ["0"]  # the shape of a number is empty
    assert many.statement.function == "Layer.call"


def test_functions_report_what_they_were_given_and_by_whom(file):
    found = run(file, lambda module: module.Layer(3).call(np.zeros(3)))
    header = next(each for each in found if each.statement.function == "scaled" and each.caller)
    assert header.statement.line == line_of("def scaled")
    assert header.statement.targets == ("value", "by")
    assert header.result["by"].array == 0
    assert header.caller.line == line_of("z = scaled(y, step)")
    assert not any(each.caller and each.statement.function == "Layer.call" for each in found)


def test_operations_and_reads_are_kept_where_asked(file):
    run_call = lambda module: module.Layer(3).call(np.zeros(3))  # noqa: E731
    plain = {e.statement.line: e for e in run(file, run_call)}
    assert plain[line_of("total = value.sum()")].operations == []  # numpy scalars are no arrays
    read_too = {e.statement.line: e for e in run(file, run_call, reads=True)}
    reads = read_too[line_of("total = value.sum()")].reads
    assert reads["by"] == 1 and reads["value"].shape == (3,)
    assert "value.sum()" in reads


def test_a_statement_without_a_result_has_its_operations(file):
    found = run(file, lambda module: module.Layer(3))
    (registered,) = [e for e in found if e.statement.line == line_of('self.register("table"')]
    assert registered.result == {}
    assert registered.operations[0][1]["output"].array.tolist() == [0, 1, 2]


def test_what_was_under_way_in_an_exception_leaves_nothing_behind(file):
    def function(module):
        with pytest.raises(ValueError):
            module.broken(np.zeros(1))
        module.broken(np.zeros(1))

    found = run(file, function)
    assert [e.statement.line for e in found].count(line_of("def broken")) == 2
    assert not any(e.statement.line == line_of("raise ValueError(inner(y))") for e in found)


def test_only_wanted_stages_are_recorded(file):
    path, module = file
    recorder = Recorder(read, wanted=lambda stage: stage == "block")
    with recorder.watching([path]):
        module.inner(np.zeros(1))
        with recorder.stage("block"):
            module.inner(np.zeros(1))
            with recorder.stage("block.child"):
                module.inner(np.zeros(1))
    assert {each.stage for each in recorder.executions} == {"block"}
    assert len(recorder.of_stage("block")) == 2  # the header and the return


def test_functions_are_as_before_afterwards(file):
    path, module = file
    code = module.inner.__code__
    names = set(vars(module))
    recorder = Recorder(read)
    with recorder.watching([path]):
        assert module.inner.__code__ is not code
    assert module.inner.__code__ is code
    assert set(vars(module)) == names
    module.inner(np.zeros(1))
    assert recorder.executions == []


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(KeraformError, match="a Python file whose source can be read"):
        source_text("/nowhere/at_all.py")
