"""Processor seconds of compiled decoding: for compiling, by batch size, and in room that grows.

    python benchmarks/compiled_decoding.py --layers 6 --width 512

Each line is a first call, which compiles, and a second one. "room from N on" decodes many tokens in
room that begins with N and doubles; a very large N gives all the room at once.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from transformers import LlamaConfig

from keraform import TFLlamaForCausalLM
from keraform.generation import room

PROMPT = 20


def main() -> None:
    """Prints a line for each measurement."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=6, help="of a Llama")
    parser.add_argument("--width", type=int, default=512, help="of its hidden states")
    parser.add_argument("--new", type=int, default=64, help="tokens of each row of a batch")
    parser.add_argument("--many", type=int, default=1500, help="tokens in room that grows")
    options = parser.parse_args()
    config = LlamaConfig(
        vocab_size=8000,
        hidden_size=options.width,
        intermediate_size=3 * options.width,
        num_hidden_layers=options.layers,
        num_attention_heads=8,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=None,
        max_position_embeddings=8192,
    )
    model = TFLlamaForCausalLM(config)
    for batch in (4, 5, 8):
        report(f"batch {batch}, {options.new} tokens", model, batch, options.new)
    for first in (room.FIRST_ROOM, 1 << 20):
        room.FIRST_ROOM = first
        report(f"room from {first} on, {options.many} tokens", model, 1, options.many)


def report(what: str, model: Any, batch: int, new: int) -> None:
    """Prints the seconds of a first call, which compiles, and of a second one."""
    ids = np.random.default_rng(0).integers(3, 8000, (batch, PROMPT))
    seconds = []
    for _ in range(2):
        start = time.process_time()
        model.generate(ids, do_sample=False, max_new_tokens=new)
        seconds.append(time.process_time() - start)
    print(f"{what}: {seconds[0]:.1f} s with compiling, then {seconds[1]:.1f} s", flush=True)


if __name__ == "__main__":
    main()
