"""The forward pass in float32: port and hand-written network under XLA, and torch, in turn.

python benchmarks/forward.py --networks bert vit --rounds 7
python benchmarks/forward.py --tiny --json
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
from collections.abc import Callable
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import numpy as np
import transformers
from machine import describe, product_operations, products
from measure import Timing, in_turn, ratio, work_ratio
from networks import NETWORKS, Network
from show import show

PORT, HAND, TORCH, ONEDNN = "port, XLA", "by hand, XLA", "torch", "torch, oneDNN"
FAR = 2e-3  # of float32 outputs near 1, over 12 layers


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=7, help="timed calls of each side")
    parser.add_argument("--tiny", action="store_true", help="tiny networks: a smoke test")
    parser.add_argument("--attention", choices=("eager", "sdpa"), help="the port's; its default")
    parser.add_argument("--no-torch", action="store_true", help="port and hand-written alone")
    parser.add_argument("--json", action="store_true", help="one JSON object, nothing else")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = arguments()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # one graph for each network is meant
    transformers.utils.logging.disable_progress_bar()
    rows = [row for name in options.networks for row in measure(NETWORKS[name], options)]
    notes = {
        "machine": describe(),
        "share_of_peak": "of the fastest 2048-cubed matrix product in the same round",
        "over_by_hand": "median over rounds of the seconds by the clock, then of processor seconds",
        "rounds": options.rounds,
    }
    show("Forward pass, float32", rows, notes, options.json)


def measure(network: Network, options: argparse.Namespace) -> list[dict[str, Any]]:
    """All sides of one network, once they are seen to agree."""
    config, inputs = network.config(options.tiny), network.inputs(options.tiny)
    twin = torch_network(network, config)
    work = operations(twin, inputs)
    sides = {
        PORT: xla(port(network, twin, options.attention), inputs, network.flags),
        HAND: xla(by_hand(network, twin, config, inputs), inputs),
    }
    if not options.no_torch:
        sides |= torch_sides(twin, inputs, network.flags)
    reference = np.asarray(sides[HAND]())
    for name, call in sides.items():
        off = float(np.abs(np.asarray(call()) - reference).max())
        if off > FAR:
            raise SystemExit(
                f"expected {network.name}: all sides within {FAR} of each other; got {name} "
                f"{off:.1e} off; mend benchmarks/handwritten, or keraform verify {network.name}"
            )
    size = 128 if options.tiny else 2048
    timings = in_turn({**sides, **products(size)}, 2 if options.tiny else options.rounds)
    return [row(network.name, side, timings, work, size) for side in timings]


def row(name: str, side: str, timings: dict[str, Timing], work: float, size: int) -> dict[str, Any]:
    """One line of the table."""
    timing, multiplies = timings[side], side.startswith("product")
    done = product_operations(size) if multiplies else work
    rates = [done / seconds / 1e9 for seconds in timing.seconds]
    fastest = [
        max(product_operations(size) / seconds / 1e9 for seconds in each)
        for each in zip(
            *(timings[other].seconds for other in timings if other.startswith("product")),
            strict=True,
        )
    ]
    return {
        "network": name,
        "side": side,
        "median_s": timing.median,
        "best_s": timing.best,
        "processor_s": timing.work,
        "GFLOP_per_s": max(rates),
        "share_of_peak": statistics.median(a / b for a, b in zip(rates, fastest, strict=True)),
        "over_by_hand": None if multiplies else ratio(timing, timings[HAND]),
        "processor_over_by_hand": None if multiplies else work_ratio(timing, timings[HAND]),
    }


def torch_network(network: Network, config: Any) -> Any:
    """The PyTorch model with random weights, biases and norms included."""
    import torch

    torch.manual_seed(0)
    model = getattr(transformers, network.torch_name)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def operations(model: Any, inputs: dict[str, np.ndarray]) -> float:
    """Floating-point operations of matrix products and convolutions in one pass, by torch."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(**{name: torch.from_numpy(value) for name, value in inputs.items()})
    return float(counter.get_total_flops())


def port(network: Network, twin: Any, attention: str | None) -> Any:
    """Keraform's model with the twin's weights."""
    import keraform

    chosen = {"attn_implementation": attention} if attention else {}
    with tempfile.TemporaryDirectory() as folder:
        twin.save_pretrained(folder)
        return getattr(keraform, f"TF{network.torch_name}").from_pretrained(folder, **chosen)


def by_hand(network: Network, twin: Any, config: Any, inputs: dict[str, np.ndarray]) -> Any:
    """The hand-written network with the twin's weights.

    Raises:
        SystemExit: it has other weights than the twin.
    """
    import tensorflow as tf
    from handwritten.weights import load

    model = network.by_hand(config)
    model({name: tf.constant(value) for name, value in inputs.items()})
    state = {key: value.numpy() for key, value in twin.state_dict().items()}
    used = load(model.torch_layers(), model.torch_variables(), state)
    count = sum(parameter.numel() for parameter in twin.parameters())
    if used != set(state) or model.count_params() != count:
        raise SystemExit(
            f"expected the {count} parameters of {network.torch_name}; got "
            f"{model.count_params()}, without {sorted(set(state) - used)[:3]}; "
            f"mend torch_layers() of {type(model).__name__}"
        )
    return model


def xla(model: Any, inputs: dict[str, np.ndarray], flags: dict[str, Any] | None = None) -> Any:
    """A compiled call; it gives the last hidden states and computes the pooled ones, too."""
    import tensorflow as tf

    values = {name: tf.constant(value) for name, value in inputs.items()}

    def forward(values: dict[str, Any]) -> list[Any]:
        if flags is None:
            output = model(values)
            return list(output) if isinstance(output, tuple) else [output]
        output = model(**values, **flags)
        found = [output.get(name) for name in ("last_hidden_state", "pooler_output")]
        return [value for value in found if value is not None]

    compiled = tf.function(forward, jit_compile=True, autograph=False)
    return lambda: compiled(values)[0].numpy()


def torch_sides(
    twin: Any, inputs: dict[str, np.ndarray], flags: dict[str, Any]
) -> dict[str, Callable[[], Any]]:
    """Torch eager as it comes, and with its linear layers through oneDNN."""
    import copy

    import torch

    values = {name: torch.from_numpy(value) for name, value in inputs.items()}

    def side(model: Any) -> Callable[[], Any]:
        def call() -> Any:
            with torch.no_grad():
                return model(**values, **flags).last_hidden_state.numpy()

        return call

    return {TORCH: side(twin), ONEDNN: side(through_onednn(copy.deepcopy(twin)))}


def through_onednn(model: Any) -> Any:
    """Let every linear layer call oneDNN's kernel; convolutions call it anyway."""
    import torch
    from transformers.pytorch_utils import Conv1D

    for module in model.modules():
        if isinstance(module, (torch.nn.Linear, Conv1D)):
            weight = module.weight.detach()
            weight = weight.t().contiguous() if isinstance(module, Conv1D) else weight
            module.forward = _linear(weight, module.bias)
    return model


def _linear(weight: Any, bias: Any) -> Callable[[Any], Any]:
    import torch

    linear = torch.ops.mkldnn._linear_pointwise
    return lambda x: linear(x, weight, bias, "none", [], "")


if __name__ == "__main__":
    main()
