"""One side of training.py: trains for some steps in this process, and prints what they took.

python benchmarks/training_side.py SIDE NETWORK FOLDER STEPS TINY
"""

from __future__ import annotations

import itertools
import json
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from networks import NETWORKS

WARM_UP = 2  # steps that do not count: tracing, compiling, the optimizer's variables
LEARNING_RATE, WEIGHT_DECAY = 1e-5, 0.01
CLASSES = {"bert": "BertForSequenceClassification", "gpt2": "GPT2LMHeadModel",
           "vit": "ViTForImageClassification"}  # fmt: skip
RATES = {"hidden_dropout_prob", "attention_probs_dropout_prob", "resid_pdrop", "embd_pdrop",
         "attn_pdrop"}  # fmt: skip


def main() -> None:
    """Run one side."""
    side, name, folder, steps, tiny = sys.argv[1:]
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    run = {"make": make, "torch": torch_side, "port": port_side, "hand": hand_side}
    kind, _, xla = side.partition("+")
    print(json.dumps(run[kind](name, folder, int(steps), tiny == "tiny", xla == "xla")))


def data(name: str, tiny: bool) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Inputs and labels: classes, or the tokens themselves."""
    inputs = NETWORKS[name].inputs(tiny)
    rows = len(next(iter(inputs.values())))
    return inputs, inputs["input_ids"] if name == "gpt2" else np.arange(rows) % 2


def make(name: str, folder: str, steps: int, tiny: bool, xla: bool) -> dict[str, Any]:
    """Write the checkpoint that all sides start from, without dropout, and count operations."""
    import torch
    import transformers
    from torch.utils.flop_counter import FlopCounterMode

    torch.manual_seed(0)
    config = NETWORKS[name].config(tiny)
    for field in RATES & set(config.to_dict()):
        setattr(config, field, 0.0)
    model = getattr(transformers, CLASSES[name])(config)
    model.save_pretrained(folder)
    inputs, labels = _torch_data(name, tiny)
    with FlopCounterMode(display=False) as counter:
        model(**inputs, labels=labels).loss.backward()
    return {"operations": float(counter.get_total_flops())}


def torch_side(name: str, folder: str, steps: int, tiny: bool, xla: bool) -> dict[str, Any]:
    """PyTorch's model, eager."""
    import torch
    import transformers

    inputs, labels = _torch_data(name, tiny)
    watch = Watch()
    model = getattr(transformers, CLASSES[name]).from_pretrained(folder).train()
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for _ in watch.steps(steps):
        optimizer.zero_grad()
        loss = model(**inputs, labels=labels, **NETWORKS[name].flags).loss
        loss.backward()
        optimizer.step()
        watch.losses.append(loss.item())
    return watch.found()


def _torch_data(name: str, tiny: bool) -> tuple[dict[str, Any], Any]:
    import torch

    inputs, labels = data(name, tiny)
    return {key: torch.from_numpy(value) for key, value in inputs.items()}, torch.from_numpy(labels)


def port_side(name: str, folder: str, steps: int, tiny: bool, xla: bool) -> dict[str, Any]:
    """Keraform's model with its own loss, by `fit`."""
    import keraform

    inputs, labels = data(name, tiny)
    model_class = getattr(keraform, f"TF{CLASSES[name]}")
    watch = Watch()
    return fit(watch, model_class.from_pretrained(folder), "auto", (inputs, labels), steps, xla)


def hand_side(name: str, folder: str, steps: int, tiny: bool, xla: bool) -> dict[str, Any]:
    """The hand-written network with the same loss, by `fit`."""
    import keras
    from handwritten.heads import Classifier, LanguageModel
    from handwritten.weights import load
    from safetensors.numpy import load_file

    inputs, labels = data(name, tiny)
    network = NETWORKS[name]
    watch = Watch()
    body = network.by_hand(network.config(tiny))
    if name == "gpt2":
        model, labels = LanguageModel(body, "transformer"), labels[:, 1:]
    else:
        model = Classifier(body, name, 2, pooled=name == "bert")
    model({key: keras.ops.convert_to_tensor(value) for key, value in inputs.items()})
    paths = model.torch_layers()
    state = load_file(Path(folder, "model.safetensors"))
    if name == "vit":  # whose classifier does without
        del paths["vit.pooler.dense"]
        body.pooler.trainable = False
    missing = set(state) - load(paths, model.torch_variables(), state)
    if missing:
        raise SystemExit(f"expected every weight to be used; got {sorted(missing)[:3]} left over")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return fit(watch, model, loss, (inputs, labels), steps, xla)


def fit(
    watch: Watch, model: Any, loss: Any, batch: tuple[Any, Any], steps: int, xla: bool
) -> dict[str, Any]:
    """Train a Keras model on one batch again and again."""
    import keras
    import tensorflow as tf

    class Clock(keras.callbacks.Callback):
        def on_train_batch_begin(self, step: int, logs: Any = None) -> None:
            next(counted)

        def on_train_batch_end(self, step: int, logs: Any = None) -> None:
            # what Keras shows is the mean of the losses so far
            watch.losses.append((step + 1) * float(logs["loss"]) - sum(watch.losses))

    counted = watch.steps(steps)
    optimizer = keras.optimizers.AdamW(LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    model.compile(optimizer, loss=loss, jit_compile=xla)
    dataset = tf.data.Dataset.from_tensors(batch).repeat()
    model.fit(dataset, steps_per_epoch=WARM_UP + steps, verbose=0, callbacks=[Clock()])
    next(counted, None)
    return watch.found()


class Watch:
    """Seconds of the steps that count, and the memory above what imports took."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, float]] = []
        self.losses: list[float] = []
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        self.base = _resident("VmRSS")

    def steps(self, count: int) -> Iterator[int]:
        """One number for each step; asked for the next one, the step before is over."""
        for number in range(WARM_UP + count):
            self.marks.append((time.perf_counter(), time.process_time()))
            yield number
        self.marks.append((time.perf_counter(), time.process_time()))

    def found(self) -> dict[str, Any]:
        """What is printed."""
        counted = self.marks[WARM_UP:]
        pairs = list(itertools.pairwise(counted))
        return {
            "seconds": [after[0] - before[0] for before, after in pairs],
            "processor": [after[1] - before[1] for before, after in pairs],
            "first_s": self.marks[1][0] - self.marks[0][0],
            "peak_GB": _resident("VmHWM") - self.base,
            "losses": self.losses,
        }


def _resident(name: str) -> float:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1e6 for line in status.splitlines() if line.startswith(name))


if __name__ == "__main__":
    main()
