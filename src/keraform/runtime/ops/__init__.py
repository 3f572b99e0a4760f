"""torch's operations on `keras.ops`, where the two differ in meaning; same names, same defaults.

Each function works eagerly, under `tf.function` (unknown sizes where the result's rank allows),
under XLA, and on JAX. What `keras.ops` has with the same meaning is not repeated here. Functions
for values that may be no tensors are in `keraform.runtime.ops.dynamic`.
"""

from __future__ import annotations

import importlib
from typing import Any

# module -> the public names that stand in it
TABLE: dict[str, tuple[str, ...]] = {
    "activations": (
        "clamp",
        "gelu",
        "glu",
        "gumbel_softmax",
        "hardtanh",
        "leaky_relu",
        "log_softmax",
        "logit",
        "prelu",
        "softmax",
        "softmax_gradient",
        "softmin",
        "softplus",
        "xlogy",
    ),
    "aliasing": ("assign",),
    "arithmetic": (
        "add",
        "addcdiv",
        "addcmul",
        "bitwise_and",
        "bitwise_or",
        "bitwise_xor",
        "compare",
        "divide",
        "floor_divide",
        "fmod",
        "lerp",
        "maximum",
        "minimum",
        "multiply",
        "pow",
        "remainder",
        "subtract",
        "true_divide",
        "where",
    ),
    "control": ("both", "cond", "either", "scan"),
    "convolutions": (
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
    ),
    "creation": (
        "arange",
        "block_diag",
        "complex",
        "diag_embed",
        "full",
        "hann_window",
        "kaiser_window",
        "linspace",
        "one_hot",
        "polar",
        "scalar_tensor",
        "tensor",
        "view_as_complex",
        "view_as_real",
    ),
    "distinct": ("unique", "unique_consecutive"),
    "dtypes": (
        "finfo",
        "get_default_dtype",
        "iinfo",
        "is_complex",
        "is_floating_point",
        "promote",
        "result_type",
    ),
    "fourier": ("fft", "fftn", "ifft", "irfft", "rfft"),
    "indexing": (
        "getitem",
        "nonzero",
        "setitem",
    ),
    "interpolations": ("interpolate",),
    "products": (
        "addmm",
        "baddbmm",
        "bilinear",
        "cdist",
        "cross",
        "embedding",
        "embedding_bag",
        "linear",
        "pairwise_distance",
        "scaled_dot_product_attention",
        "tensordot",
    ),
    "losses": (
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        "cosine_embedding_loss",
        "cross_entropy",
        "hinge_embedding_loss",
        "huber_loss",
        "kl_div",
        "l1_loss",
        "margin_ranking_loss",
        "mse_loss",
        "nll_loss",
        "smooth_l1_loss",
        "soft_margin_loss",
        "triplet_margin_loss",
    ),
    "multihead": ("multi_head_attention_forward",),
    "normalizations": (
        "batch_norm",
        "group_norm",
        "instance_norm",
        "layer_norm",
        "local_response_norm",
        "rms_norm",
    ),
    "ordering": (
        "argmax",
        "argmin",
        "argsort",
        "bucketize",
        "cummax",
        "cummin",
        "kthvalue",
        "max_with_indices",
        "median",
        "min_with_indices",
        "searchsorted",
        "sort",
        "topk",
    ),
    "padding": ("pad", "pad_sequence"),
    "patches": ("col2im", "im2col", "pixel_shuffle", "pixel_unshuffle"),
    "pooling": (
        "adaptive_avg_pool1d",
        "adaptive_avg_pool2d",
        "adaptive_avg_pool3d",
        "adaptive_max_pool1d",
        "adaptive_max_pool2d",
        "adaptive_max_pool3d",
        "avg_pool1d",
        "avg_pool2d",
        "avg_pool3d",
        "lp_pool1d",
        "max_pool1d",
        "max_pool2d",
        "max_pool3d",
    ),
    "prefixes": ("mean_of_first", "std_of_first", "sum_of_first", "var_of_first"),
    "randomness": (
        "bernoulli",
        "dropout",
        "dropout_channels",
        "exponential",
        "manual_seed",
        "multinomial",
        "normal",
        "rand",
        "rand_like",
        "randint",
        "randint_like",
        "randn",
        "randn_like",
        "randperm",
        "seed_generator",
    ),
    "reading": ("item", "tolist"),
    "reductions": (
        "all",
        "any",
        "bincount",
        "cosine_similarity",
        "count_nonzero",
        "cumprod",
        "cumsum",
        "equal",
        "histc",
        "logsumexp",
        "masked_mean",
        "masked_var",
        "mean",
        "norm",
        "normalize",
        "prod",
        "std",
        "std_mean",
        "sum",
        "var",
        "var_mean",
        "vector_norm",
    ),
    "sampling": ("affine_grid", "grid_sample"),
    "scattering": (
        "index_select",
        "masked_select",
        "narrow",
        "select",
        "gather",
        "index_add",
        "index_copy",
        "index_fill",
        "masked_fill",
        "masked_scatter",
        "scatter",
        "scatter_add",
        "scatter_reduce",
        "take_along_dim",
    ),
    "sequences": ("ctc_loss",),
    "shapes": (
        "as_strided",
        "broadcast_tensors",
        "cartesian_prod",
        "cat",
        "chunk",
        "expand",
        "expand_as",
        "flatten",
        "meshgrid",
        "movedim",
        "numel",
        "repeat",
        "repeat_interleave",
        "roll",
        "split",
        "squeeze",
        "stack",
        "strides",
        "t",
        "tensor_split",
        "tile",
        "tril",
        "triu",
        "unbind",
        "unflatten",
        "unfold",
        "view_as",
    ),
}
MODULES: frozenset[str] = frozenset({*TABLE, "dynamic", "tensors"})


def _by_name() -> dict[str, str]:
    """Returns public name -> module; two modules with one name is a mistake in the table."""
    found: dict[str, str] = {}
    for module, names in TABLE.items():
        for name in names:
            if name in found or name in TABLE:
                raise ImportError(f"{name} stands in {found[name]} and in {module}")
            found[name] = module
    return found


_HOME = _by_name()
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        module = importlib.import_module(f"{__name__}.{_HOME[name]}")
        globals()[name] = getattr(module, name)
        return globals()[name]
    if name in MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"{__name__} has no function {name!r}; see keraform.ops.__all__")


def __dir__() -> list[str]:
    return [*__all__, "dynamic"]
