"""Saves two models in turn to one directory until it is killed: a process for test_atomic.

Each line on standard input, 0 or 1, starts a child that begins with that one; its process id is
printed.
"""

from __future__ import annotations

import os
import sys

from modeling import mini_bert

CHANGES = ({}, {"hidden_size": 24, "vocab_size": 70})
SHARDS = ("50GB", "8KB")


def main(folder: str) -> None:
    models = [mini_bert.TFBertForMaskedLM(mini_bert.tiny_config(**each)) for each in CHANGES]
    for number, model in enumerate(models):
        model.save_pretrained(f"{folder}-{number}", max_shard_size=SHARDS[number])
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            number = int(line)
            while True:
                models[number].save_pretrained(folder, max_shard_size=SHARDS[number])
                number = 1 - number
        print(child, flush=True)
        os.waitpid(child, 0)
        print("gone", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
