"""What a weight is for (a kernel, a scale, a running mean), and how its numbers are laid out, as
far as its layer's class says so.
"""

from __future__ import annotations

from keraform.verify.handwritten.weight_pairs import Weight

TORCH_NORMS = frozenset(
    "BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm LayerNorm GroupNorm InstanceNorm1d "
    "InstanceNorm2d InstanceNorm3d RMSNorm".split()
)
TORCH_RECURRENT = frozenset("RNN LSTM GRU RNNCell LSTMCell GRUCell".split())
TORCH_GRUS = frozenset({"GRU", "GRUCell"})
KERAS_GRUS = frozenset({"GRU", "GRUCell"})
IN_FIRST = frozenset({"Conv1D"})  # transformers' own linear layer, (in, out) as in Keras

NORM_ROLES = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
# What users call the same things in layers of their own.
KERAS_ROLES = {
    "scale": "gamma",
    "offset": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
    "moving_var": "moving_variance",
    "depthwise_kernel": "kernel",
    "pointwise_kernel": "kernel",
}
KNOWN = frozenset(
    "kernel bias embeddings gamma beta moving_mean moving_variance recurrent_kernel".split()
)
# Pairs of roles that are no contradiction.
RELATED = frozenset({frozenset({"kernel", "embeddings"}), frozenset({"beta", "bias"})})


def torch_role(weight: Weight) -> str:
    """The role of a torch tensor under Keras's name, "" for parameters of the user's own."""
    attribute = weight.attribute.partition("[")[0]
    if weight.layer in TORCH_NORMS:
        return NORM_ROLES.get(attribute, "")
    if weight.layer in TORCH_RECURRENT:
        if attribute.startswith("weight_hh"):
            return "recurrent_kernel"
        return "kernel" if attribute.startswith("weight_ih") else "bias"
    if weight.layer == "Embedding":
        return "embeddings"
    if attribute in ("bias", "in_proj_bias"):
        return "bias"
    return "kernel" if weight.layer else ""


def keras_role(weight: Weight) -> str:
    """The role of a Keras variable, "" for variables of the user's own under other names."""
    role = KERAS_ROLES.get(weight.attribute, weight.attribute)
    return role if role in KNOWN else ""


def contradiction(torch: str, keras: str) -> float:
    """0 where two roles are the same, 1 where they cannot be."""
    if torch == keras:
        return 0.0
    if not torch or not keras:
        return 0.2
    return 0.4 if frozenset({torch, keras}) in RELATED else 1.0


def natural_layout(torch: Weight, keras: Weight) -> tuple[str, str]:
    """Whether torch's axes are kept ("same") or reversed ("kernel"), and why, for a shape that
    allows both; the reason is empty where nothing but custom speaks for it.
    """
    in_first = bool(keras.layer) and keras_role(keras) in ("kernel", "recurrent_kernel")
    out_first = bool(torch.layer) and torch.layer not in IN_FIRST
    if torch.layer == "Embedding" or keras_role(keras) == "embeddings":
        return "same", "an embedding's table: as it is"
    if out_first and in_first:
        return "kernel", f"{torch.layer} keeps (out, in), {keras.layer} (in, out)"
    if torch.layer in IN_FIRST and in_first:
        return "same", f"{torch.layer} keeps (in, out), as {keras.layer}"
    if out_first:
        return ("same" if keras.attribute == "weight" else "kernel"), ""
    if in_first:
        return ("kernel" if torch.attribute == "weight" else "same"), ""
    return "same", ""
