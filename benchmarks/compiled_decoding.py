"""What compiling of decoding costs, and what padding a batch and growing room would save.

python benchmarks/compiled_decoding.py  # seconds of processor time, of a Llama of 6 layers
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from transformers import LlamaConfig

from keraform import TFLlamaForCausalLM
from keraform.generation import room

PROMPT, NEW, LONG = 20, 64, 1500


def main() -> None:
    """Prints a line for each measurement: of the first call, and of the next."""
    config = LlamaConfig(
        vocab_size=8000,
        hidden_size=512,
        intermediate_size=1536,
        num_hidden_layers=6,
        num_attention_heads=8,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=None,
        max_position_embeddings=8192,
    )
    model = TFLlamaForCausalLM(config)
    for batch in (4, 5, 8):
        report(f"batch {batch}, {NEW} tokens", model, batch, max_new_tokens=NEW)
    for first in (room.FIRST_ROOM, 1 << 20):
        room.FIRST_ROOM = first
        report(f"room from {first} on, {LONG} tokens", model, 1, max_new_tokens=LONG)


def report(what: str, model: Any, batch: int, **options: Any) -> None:
    """Prints the seconds of a first call, which compiles, and of a second one."""
    ids = np.random.default_rng(0).integers(3, 8000, (batch, PROMPT))
    seconds = []
    for _ in range(2):
        start = time.process_time()
        model.generate(ids, do_sample=False, **options)
        seconds.append(time.process_time() - start)
    print(f"{what}: {seconds[0]:.1f} s with compiling, then {seconds[1]:.1f} s", flush=True)


if __name__ == "__main__":
    main()
