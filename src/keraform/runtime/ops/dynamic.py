"""Run-time dispatch for values whose kind the translator could not tell.

Each function does what Python or NumPy does for what is no tensor, and what torch does for tensors.
`x.f(...)` is written `dynamic.f(x, ...)`; operators have the names of Python's `operator` module,
and the builtins `max`, `min`, `sum`, `len` that may meet tensors are `largest`, `smallest`,
`total`, `length`.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Iterator
from typing import Any

from keras import ops

from keraform.errors import explain
from keraform.runtime.ops import (
    arithmetic,
    dtypes,
    indexing,
    ordering,
    reading,
    reductions,
    shapes,
)
from keraform.runtime.ops.tensors import Tensor, flat_sizes, is_tensor, sizes
from keraform.runtime.tracing import is_known

# Torch takes these as NumPy's names of its own arguments.
NUMPYS_NAMES = {"axis": "dim", "keepdims": "keepdim"}


def _own(x: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return getattr(x, name)(*args, **kwargs)


def _method(name: str, of_tensor: Callable[..., Any]) -> Callable[..., Any]:
    """Returns `f(x, ...)`: torch's meaning for tensors, else the value's own method."""

    def method(x: Any, *args: Any, **kwargs: Any) -> Any:
        if is_tensor(x):
            torchs = {NUMPYS_NAMES.get(key, key): value for key, value in kwargs.items()}
            return of_tensor(x, *args, **torchs)
        return _own(x, name, args, kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Returns `x.{name}(...)`, with torch's meaning for tensors."
    return method


def _binary(
    name: str, of_tensors: Callable[..., Any], of_python: Callable[..., Any]
) -> Callable[[Any, Any], Any]:
    """Returns `f(a, b)`: torch's promotion where a tensor takes part, else Python's operator."""

    def apply(a: Any, b: Any) -> Any:
        return of_tensors(a, b) if is_tensor(a) or is_tensor(b) else of_python(a, b)

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = (
        f"Returns `operator.{of_python.__name__}(a, b)`, with torch's dtypes for tensors."
    )
    return apply


def _compared(how: Callable[..., Any]) -> Callable[..., Any]:
    return lambda a, b: how(*dtypes.promote(a, b))


def _bitwise(on_bool: Callable[..., Any], on_integers: Callable[..., Any]) -> Callable[..., Any]:
    def apply(a: Any, b: Any) -> Any:
        a, b = dtypes.promote(a, b)
        return (on_bool if dtypes.name_of(a.dtype) == "bool" else on_integers)(a, b)

    return apply


def add(a: Any, b: Any, **kwargs: Any) -> Any:
    """Returns `a + b` with torch's dtypes for tensors, or calls `a.add(b)` of a set."""
    if is_tensor(a) or is_tensor(b):
        return arithmetic.add(a, b, **kwargs)
    return a.add(b) if hasattr(a, "add") else a + b


def sub(a: Any, b: Any, *args: Any, **kwargs: Any) -> Any:
    """Returns `a - b` with torch's dtypes for tensors, or calls `a.sub(b, ...)` of a pattern."""
    if is_tensor(a) or is_tensor(b):
        return arithmetic.subtract(a, b, **kwargs)
    return a.sub(b, *args, **kwargs) if hasattr(a, "sub") else a - b


mul = _binary("mul", arithmetic.multiply, operator.mul)
truediv = _binary("truediv", arithmetic.true_divide, operator.truediv)
floordiv = _binary("floordiv", arithmetic.floor_divide, operator.floordiv)
mod = _binary("mod", arithmetic.remainder, operator.mod)
pow = _binary("pow", arithmetic.pow, operator.pow)
matmul = _binary("matmul", ops.matmul, operator.matmul)
lt = _binary("lt", _compared(ops.less), operator.lt)
le = _binary("le", _compared(ops.less_equal), operator.le)
gt = _binary("gt", _compared(ops.greater), operator.gt)
ge = _binary("ge", _compared(ops.greater_equal), operator.ge)
and_ = _binary("and_", _bitwise(ops.logical_and, ops.bitwise_and), operator.and_)
or_ = _binary("or_", _bitwise(ops.logical_or, ops.bitwise_or), operator.or_)
xor = _binary("xor", _bitwise(ops.logical_xor, ops.bitwise_xor), operator.xor)


def eq(a: Any, b: Any) -> Any:
    """Returns `a == b`; a tensor against what has no numbers (None, a string) is False."""
    if is_tensor(a) or is_tensor(b):
        if builtins.any(v is None or isinstance(v, (str, list, tuple, dict)) for v in (a, b)):
            return False
        return ops.equal(*dtypes.promote(a, b))
    return a == b


def ne(a: Any, b: Any) -> Any:
    """Returns `a != b`; a tensor against what has no numbers (None, a string) is True."""
    same = eq(a, b)
    return ops.logical_not(same) if is_tensor(same) else not same


def invert(x: Any) -> Any:
    """Returns `~x`: not, for bool tensors."""
    if is_tensor(x) and dtypes.name_of(x.dtype) == "bool":
        return ops.logical_not(x)
    return ops.bitwise_not(x) if is_tensor(x) else ~x


def getitem(x: Any, index: Any) -> Any:
    """Returns `x[index]`, with torch's meaning for tensors."""
    return indexing.getitem(x, index) if is_tensor(x) else x[index]


def setitem(x: Any, index: Any, value: Any) -> Any:
    """Returns `x` with `x[index] = value` done: a new tensor, `x` itself, changed, or, of a tuple,
    whose tensors torch changes in place, a new one.
    """
    if is_tensor(x):
        return indexing.setitem(x, index, value)
    if isinstance(x, tuple):
        return (*x[:index], value, *x[index + 1 :])
    x[index] = value
    return x


def length(x: Any) -> Any:
    """Returns `len(x)`; for tensors the first size, an int where it is static."""
    return sizes(x)[0] if is_tensor(x) else len(x)


def iterate(x: Any) -> Iterator[Any]:
    """Iterates over the slices of a tensor along its first axis, or over what `x` holds."""
    return iter(shapes.unbind(x)) if is_tensor(x) else iter(x)


def largest(*values: Any) -> Any:
    """Returns Python's `max(...)`, with `maximum` where scalar tensors take part."""
    return _fold(values, arithmetic.maximum, builtins.max)


def smallest(*values: Any) -> Any:
    """Returns Python's `min(...)`, with `minimum` where scalar tensors take part."""
    return _fold(values, arithmetic.minimum, builtins.min)


def _fold(values: Any, of_tensors: Callable[..., Any], of_python: Callable[..., Any]) -> Any:
    if len(values) == 1:
        values = tuple(iterate(values[0]))
    if not builtins.any(is_tensor(v) and not is_known(v) for v in values):
        return of_python(values)
    made = values[0]
    for value in values[1:]:
        made = of_tensors(made, value)
    return made


def total(values: Any, start: Any = 0) -> Any:
    """Returns Python's `sum(values, start)`, with torch's dtypes where tensors take part."""
    parts = list(iterate(values))
    if isinstance(start, int) and start == 0 and parts:
        start = parts.pop(0)
    for part in parts:
        start = add(start, part)
    return start


def size(x: Any, *args: Any, **kwargs: Any) -> Any:
    """Returns `x.size()` or `x.size(dim)`: sizes are ints where static."""
    if not is_tensor(x):
        return _own(x, "size", args, kwargs)
    given = [*args, *kwargs.values()]
    return sizes(x) if not given or given[0] is None else sizes(x)[given[0]]


def shape(x: Any) -> Any:
    """Returns `x.shape`: sizes are ints where static."""
    return sizes(x) if is_tensor(x) else x.shape


def _cast(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    dtype = kwargs.get("dtype")
    for value in args:
        if is_tensor(value):
            dtype = value.dtype
        elif not isinstance(value, (bool, int, float, type(None))) and not _is_device(value):
            dtype = value
    if dtype is None:
        return x
    return dtypes.to(x, dtypes.resolve(dtype))


def _is_device(value: Any) -> bool:
    if isinstance(value, str):
        return value.split(":")[0] in ("cpu", "cuda", "mps", "xpu", "meta", "npu", "tpu", "gpu")
    return builtins.type(value).__name__ == "device"


def to(x: Any, *args: Any, **kwargs: Any) -> Any:
    """Returns `x.to(...)`: a cast for tensors (devices do not count), else the value's own."""
    if is_tensor(x):
        return _cast(x, *args, **kwargs)
    return _own(x, "to", args, kwargs) if hasattr(x, "to") else x


def type(x: Any, *args: Any) -> Any:
    """Returns `x.type(dtype)` as a cast; without a dtype Python's `type(x)`."""
    return _cast(x, *args) if args else builtins.type(x)


def item(x: Any) -> Any:
    """Returns the Python number in `x`; inside a graph perhaps the scalar tensor itself."""
    if is_tensor(x):
        return reading.item(x)
    return x.item() if hasattr(x, "item") else x


def tolist(x: Any) -> Any:
    """Returns nested lists of Python numbers; inside a graph perhaps of scalar tensors."""
    if not is_tensor(x):
        return x.tolist() if hasattr(x, "tolist") else list(x)
    return reading.tolist(x)


def view(x: Any, *args: Any, **kwargs: Any) -> Any:
    """Returns `x.view(...)`: sizes reshape; a dtype reads the same bits."""
    if not is_tensor(x):
        return _own(x, "view", args, kwargs)
    if len(args) == 1 and not isinstance(args[0], (int, tuple, list)) and not is_tensor(args[0]):
        return ops.view(x, dtypes.name_of(args[0]))
    return ops.reshape(x, flat_sizes(args))


def _max(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    if dim is None:
        return ops.max(x)
    return (
        arithmetic.maximum(x, dim)
        if is_tensor(dim)
        else (ordering.max_with_indices(x, dim, keepdim))
    )


def _min(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    if dim is None:
        return ops.min(x)
    return (
        arithmetic.minimum(x, dim)
        if is_tensor(dim)
        else (ordering.min_with_indices(x, dim, keepdim))
    )


def _reshape(x: Tensor, *args: Any) -> Tensor:
    return ops.reshape(x, flat_sizes(args))


def _transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    return ops.swapaxes(x, dim0, dim1)


def _same(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return ops.convert_to_tensor(x)


split = _method("split", shapes.split)
copy = _method("copy", _same)
clone = _method("clone", _same)
sum = _method("sum", reductions.sum)
mean = _method("mean", reductions.mean)
any = _method("any", reductions.any)
all = _method("all", reductions.all)
max = _method("max", _max)
min = _method("min", _min)
t = _method("t", shapes.t)
reshape = _method("reshape", _reshape)
transpose = _method("transpose", _transpose)
squeeze = _method("squeeze", shapes.squeeze)
flatten = _method("flatten", shapes.flatten)
repeat = _method("repeat", shapes.repeat)
numel = _method("numel", shapes.numel)
argmax = _method("argmax", ordering.argmax)
cumsum = _method("cumsum", reductions.cumsum)
std = _method("std", reductions.std)
var = _method("var", reductions.var)
prod = _method("prod", reductions.prod)
norm = _method("norm", reductions.norm)
sort = _method("sort", ordering.sort)
sign = _method("sign", ops.sign)
round = _method("round", lambda x, decimals=0: ops.round(x, decimals))
fill = _method("fill", ops.full_like)


def _none_of_tensors(name: str) -> Callable[..., Any]:
    def refused(x: Tensor, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            explain(f"a Python value with a method {name}", "a tensor", "kf.dynamic.tolist(x)")
        )

    return _method(name, refused)


count = _none_of_tensors("count")
format = _none_of_tensors("format")
get = _none_of_tensors("get")
index = _none_of_tensors("index")
join = _none_of_tensors("join")
lower = _none_of_tensors("lower")
pop = _none_of_tensors("pop")
replace = _none_of_tensors("replace")
strip = _none_of_tensors("strip")
update = _none_of_tensors("update")
