"""Rules for methods of tensors; the receiver is the parameter `self`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from keraform.translate.rules.functions import FUNCTIONS
from keraform.translate.rules.record import Code, Rule

Guard = Callable[[Mapping[str, Code]], str | None]

_DROP = (
    "device!, dtype?, requires_grad!, memory_format!, non_blocking!, copy!, layout!, pin_memory!"
)


def _simple(
    name: str,
    template: str,
    kind: str = "like:self",
    signature: str = "",
    precedence: int = 14,
    guard: Guard | None = None,
) -> Rule:
    return Rule(
        f"Tensor.{name}",
        f"self{', ' + signature if signature else ''}",
        template,
        kind,
        guard,
        precedence,
    )


def _is_size(arguments: Mapping[str, Code]) -> str | None:
    """`x.view(dtype)` reads the same bytes anew."""
    return (
        "the bytes of a tensor cannot be read as another dtype"
        if arguments["shape"].kind.tag == "dtype"
        else None
    )


UNCHANGED = tuple(
    _simple(name, "{self}", signature="memory_format!, device!, non_blocking!")
    for name in ("contiguous", "clone", "cpu", "cuda", "requires_grad_", "pin_memory", "positive")
)

CASTS = tuple(
    _simple(name, f'ops.cast({{self}}, "{dtype}")', f"tensor:{dtype}", "memory_format!")
    for name, dtype in (
        ("float", "float32"), ("double", "float64"), ("half", "float16"), ("bfloat16", "bfloat16"), ("long", "int64"),
        ("int", "int32"), ("short", "int16"), ("char", "int8"), ("byte", "uint8"), ("bool", "bool"),
    )
) + (
    _simple("type_as", "ops.cast({self}, {other!o}.dtype)", "like:other", "other"),
)  # fmt: skip

SHAPES = (
    _simple("view", "ops.reshape({self}, {shape})", signature="*shape", guard=_is_size),
    _simple("reshape", "ops.reshape({self}, {shape})", signature="*shape"),
    _simple("view_as", "ops.reshape({self}, ops.shape({other}))", signature="other"),
    _simple("reshape_as", "ops.reshape({self}, ops.shape({other}))", signature="other"),
    _simple("permute", "ops.transpose({self}, {dims})", signature="*dims"),
    _simple("transpose", "ops.swapaxes({self}, {dim0}, {dim1})", signature="dim0, dim1"),
    _simple("swapaxes", "ops.swapaxes({self}, {dim0}, {dim1})", signature="dim0, dim1"),
    _simple("swapdims", "ops.swapaxes({self}, {dim0}, {dim1})", signature="dim0, dim1"),
    _simple("movedim", "ops.moveaxis({self}, {source}, {destination})", signature="source, destination"),
    _simple("t", "ops.transpose({self})"),
    _simple("unsqueeze", "ops.expand_dims({self}, {dim})", signature="dim"),
    _simple("squeeze", "kf.squeeze({self}, {dim})", signature="dim?"),
    _simple("flatten", "kf.flatten({self}, {start_dim}, {end_dim})", signature="start_dim?, end_dim?"),
    _simple("ravel", "ops.ravel({self})"),
    _simple("unflatten", "kf.unflatten({self}, {dim}, {sizes})", signature="dim, sizes"),
    _simple("expand", "kf.expand({self}, {sizes})", signature="*sizes"),
    _simple("expand_as", "ops.broadcast_to({self}, ops.shape({other}))", signature="other"),
    _simple("broadcast_to", "ops.broadcast_to({self}, {sizes})", signature="*sizes"),
    _simple("repeat", "kf.repeat({self}, {repeats})", signature="*repeats"),
    _simple("tile", "ops.tile({self}, {dims})", signature="*dims"),
    _simple("repeat_interleave", "ops.repeat({self}, {repeats}, axis={dim})", signature="repeats, dim?, output_size!"),
    _simple("split", "kf.split({self}, {split_size_or_sections}, dim={dim})", "list:like:self", "split_size_or_sections, dim=0"),
    _simple("tensor_split", "kf.tensor_split({self}, {sections}, dim={dim})", "list:like:self", "sections, dim?"),
    _simple("chunk", "kf.chunk({self}, {chunks}, dim={dim})", "list:like:self", "chunks, dim=0"),
    _simple("unbind", "ops.unstack({self}, axis={dim})", "list:like:self", "dim=0"),
    _simple("unfold", "kf.unfold({self}, {dimension}, {size}, {step})", signature="dimension, size, step"),
    _simple("stride", "kf.strides({self})", "size"),
    _simple("flip", "ops.flip({self}, axis={dims})", signature="*dims"),
    _simple("roll", "ops.roll({self}, {shifts}, axis={dims})", signature="shifts, dims?"),
    _simple("narrow", "kf.narrow({self}, {dim}, {start}, {length})", signature="dim, start, length"),
    _simple("select", "kf.select({self}, {dim}, {index})", signature="dim, index"),
    _simple("numel", "math.prod(ops.shape({self}))", "dim"),
    _simple("nelement", "math.prod(ops.shape({self}))", "dim"),
    _simple("dim", "ops.ndim({self})", "int"),
    _simple("ndimension", "ops.ndim({self})", "int"),
    _simple("diagonal", "ops.diagonal({self}, offset={offset}, axis1={dim1}, axis2={dim2})", signature="offset?, dim1?, dim2?"),
    _simple("tril", "ops.tril({self}, {diagonal})", signature="diagonal?"),
    _simple("triu", "ops.triu({self}, {diagonal})", signature="diagonal?"),
)  # fmt: skip

REDUCTIONS = (
    _simple("mean", "ops.mean({self}, axis={dim}, keepdims={keepdim})", signature="dim?, keepdim?, dtype!"),
    _simple("sum", "kf.sum({self}, dim={dim}, keepdim={keepdim}, dtype={dtype})", "tensor", "dim?, keepdim?, dtype?"),
    _simple("prod", "ops.prod({self}, axis={dim}, keepdims={keepdim})", signature="dim?, keepdim?"),
    _simple("amax", "ops.amax({self}, axis={dim}, keepdims={keepdim})", signature="dim?, keepdim?"),
    _simple("amin", "ops.amin({self}, axis={dim}, keepdims={keepdim})", signature="dim?, keepdim?"),
    _simple("max", "ops.max({self})"),
    _simple("min", "ops.min({self})"),
    _simple("any", "ops.any({self}, axis={dim}, keepdims={keepdim})", "tensor:bool", "dim?, keepdim?"),
    _simple("all", "ops.all({self}, axis={dim}, keepdims={keepdim})", "tensor:bool", "dim?, keepdim?"),
    _simple("argmax", "kf.argmax({self}, dim={dim}, keepdim={keepdim})", "tensor:int64", "dim?, keepdim?"),
    _simple("argmin", "kf.argmin({self}, dim={dim}, keepdim={keepdim})", "tensor:int64", "dim?, keepdim?"),
    _simple("cumsum", "kf.cumsum({self}, dim={dim}, dtype={dtype})", "tensor", "dim, dtype?"),
    _simple("cumprod", "kf.cumprod({self}, dim={dim}, dtype={dtype})", "tensor", "dim, dtype?"),
    _simple("norm", "kf.norm({self}, p={p}, dim={dim}, keepdim={keepdim})", signature="p?, dim?, keepdim?"),
    _simple("var", "kf.var({self}, dim={dim}, unbiased={unbiased}, correction={correction}, keepdim={keepdim})", signature="dim?, unbiased?, keepdim?, correction?"),
    _simple("std", "kf.std({self}, dim={dim}, unbiased={unbiased}, correction={correction}, keepdim={keepdim})", signature="dim?, unbiased?, keepdim?, correction?"),
    _simple("logsumexp", "ops.logsumexp({self}, axis={dim}, keepdims={keepdim})", signature="dim, keepdim?"),
    _simple("softmax", "ops.softmax({self}, axis={dim})", signature="dim"),
    _simple("log_softmax", "ops.log_softmax({self}, axis={dim})", signature="dim"),
    _simple("topk", "kf.topk({self}, {k}, dim={dim}, largest={largest}, sorted={sorted})", "tuple:like:self,tensor:int64", "k, dim?, largest?, sorted?"),
    _simple("sort", "kf.sort({self}, dim={dim}, descending={descending})", "tuple:like:self,tensor:int64", "dim?, descending?, stable!"),
    _simple("argsort", "kf.argsort({self}, dim={dim}, descending={descending})", "tensor:int64", "dim?, descending?, stable!"),
    _simple("nonzero", "kf.nonzero({self}, as_tuple={as_tuple})", "tensor:int64", "as_tuple?"),
    _simple("bincount", "kf.bincount({self}, weights={weights}, minlength={minlength})", "tensor:int64", "weights?, minlength?"),
)  # fmt: skip

INDEXING = (
    _simple("gather", "kf.gather({self}, {dim}, {index})", signature="dim, index"),
    _simple("scatter", "kf.scatter({self}, {dim}, {index}, {src})", signature="dim, index, src"),
    _simple("scatter_add", "kf.scatter_add({self}, {dim}, {index}, {src})", signature="dim, index, src"),
    _simple("scatter_reduce", "kf.scatter_reduce({self}, {dim}, {index}, {src}, {reduce}, include_self={include_self})", signature="dim, index, src, reduce, include_self?"),
    _simple("index_select", "ops.take({self}, {index}, axis={dim})", signature="dim, index"),
    _simple("index_add", "kf.index_add({self}, {dim}, {index}, {source})", signature="dim, index, source"),
    _simple("index_copy", "kf.index_copy({self}, {dim}, {index}, {source})", signature="dim, index, source"),
    _simple("masked_fill", "kf.masked_fill({self}, {mask}, {value})", signature="mask, value"),
    _simple("masked_scatter", "kf.masked_scatter({self}, {mask}, {source})", signature="mask, source"),
    _simple("masked_select", "kf.getitem({self}, {mask})", signature="mask"),
    _simple("index_put", "kf.setitem({self}, {indices}, {values})", signature="indices, values, accumulate^"),
    _simple("take_along_dim", "ops.take_along_axis({self}, {indices}, axis={dim})", signature="indices, dim"),
    _simple("where", "ops.where({condition}, {self}, {other})", signature="condition, other"),
    _simple("fill", "ops.full_like({self}, {value})", signature="value"),
    _simple("zero", "ops.zeros_like({self})"),
    _simple("exponential", "kf.exponential({self}, lambd={lambd})", signature="lambd?, generator!"),
    _simple("copy", "ops.broadcast_to(ops.cast({src}, {self!o}.dtype), ops.shape({self}))", signature="src, non_blocking!"),
)  # fmt: skip

NEW = (
    _simple("new_zeros", "ops.zeros({size}, dtype={dtype})", "dtype:dtype", f"*size, {_DROP}"),
    _simple("new", "ops.zeros({size}, dtype={dtype})", "dtype:dtype", f"*size, {_DROP}"),
    _simple("new_ones", "ops.ones({size}, dtype={dtype})", "dtype:dtype", f"*size, {_DROP}"),
    _simple("new_empty", "ops.zeros({size}, dtype={dtype})", "dtype:dtype", f"*size, {_DROP}"),
    _simple(
        "new_full",
        "ops.full({size}, {fill_value}, dtype={dtype})",
        "dtype:dtype",
        f"size, fill_value, {_DROP}",
    ),
    _simple("new_tensor", "kf.tensor({data}, dtype={dtype})", "dtype:dtype", f"data, {_DROP}"),
)

OTHER = (
    _simple("detach", "ops.stop_gradient({self})"),
    _simple("item", "kf.item({self})", "py"),
    _simple("tolist", "kf.tolist({self})", "list"),
    _simple("numpy", "ops.convert_to_numpy({self})", "numpy"),
    _simple("is_contiguous", "True", "bool", "memory_format!"),
    _simple("is_floating_point", "kf.is_floating_point({self})", "bool"),
    _simple("addmm", "kf.addmm({self}, {mat1}, {mat2}, beta={beta}, alpha={alpha})", signature="mat1, mat2, beta?, alpha?"),
    _simple("baddbmm", "kf.baddbmm({self}, {batch1}, {batch2}, beta={beta}, alpha={alpha})", signature="batch1, batch2, beta?, alpha?"),
    _simple("lt", "{self!o} < {other!o}", "tensor:bool", "other", 4),
    _simple("le", "{self!o} <= {other!o}", "tensor:bool", "other", 4),
    _simple("gt", "{self!o} > {other!o}", "tensor:bool", "other", 4),
    _simple("ge", "{self!o} >= {other!o}", "tensor:bool", "other", 4),
    _simple("eq", "ops.equal({self}, {other})", "tensor:bool", "other"),
    _simple("ne", "ops.not_equal({self}, {other})", "tensor:bool", "other"),
    _simple("add", "ops.add({self}, {other})", signature="other"),
    _simple("sub", "ops.subtract({self}, {other})", signature="other"),
    _simple("mul", "ops.multiply({self}, {other})", signature="other"),
    _simple("div", "kf.divide({self}, {other}, rounding_mode={rounding_mode})", "quotient", "other, rounding_mode?"),
    _simple("pow", "ops.power({self}, {exponent})", signature="exponent"),
    _simple("clamp_min", "ops.maximum({self}, {min})", signature="min"),
    _simple("clamp_max", "ops.minimum({self}, {max})", signature="max"),
    _simple("clamp", "kf.clamp({self}, min={min}, max={max})", signature="min?, max?"),
    _simple("clip", "kf.clamp({self}, min={min}, max={max})", signature="min?, max?"),
)  # fmt: skip

METHODS: dict[str, Rule] = {}
for _rule in (*UNCHANGED, *CASTS, *SHAPES, *REDUCTIONS, *INDEXING, *NEW, *OTHER):
    _name = _rule.torch.removeprefix("Tensor.")
    if _name in METHODS:
        raise ValueError(f"two rules for {_rule.torch}")
    METHODS[_name] = _rule

# Functions of torch that tensors do not have as methods.
_NO_METHOD = frozenset("bucketize is_tensor view_as_complex view_as_real".split())

# Elementwise and binary functions are methods as well.
for _torch, _function in FUNCTIONS.items():
    _name = _torch.removeprefix("torch.")
    if "." in _name or _name.endswith("_like") or _name in _NO_METHOD:
        continue
    if (
        _torch.startswith("torch.")
        and _function.signature.startswith("input")
        and _name not in METHODS
    ):
        METHODS[_name] = Rule(
            f"Tensor.{_name}",
            "self" + _function.signature.removeprefix("input"),
            _function.emit.replace("{input", "{self"),
            _function.kind.replace("same", "like:self").replace("like:input", "like:self"),
            precedence=_function.precedence,
        )

# What NumPy arrays, strings, lists and dicts have too: these need to know the kind of their receiver.
AMBIGUOUS = frozenset(
    "split copy index type t any all sum max min mean item tolist round repeat size clone count add sort fill "
    "pop update get format join replace lower strip sub prod std var norm sign".split()
)
