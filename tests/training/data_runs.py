"""What test_data.py runs in processes of their own: another backend, and a bound on memory."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from pathlib import Path

import datasets
import numpy as np

from modeling import mini_bert
from training.words import tiny_tokenizer


def model():
    config = mini_bert.tiny_config(num_hidden_layers=1)
    return mini_bert.TFBertForSequenceClassification(config)


def jax(folder):
    """The same object feeds fit, evaluate and predict on JAX."""
    import keras

    assert keras.backend.backend() == "jax"
    ids = [[1, row + 5, *[4] * (row % 5)] for row in range(20)]
    data = datasets.Dataset.from_dict({"input_ids": ids, "label": [row % 2 for row in range(20)]})
    trained = model()
    train = trained.prepare_tf_dataset(data, 8, tokenizer=tiny_tokenizer())
    trained.compile("adam")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = trained.fit(train, validation_data=train, epochs=2, verbose=0).history
    assert len(history["loss"]) == 2 and np.isfinite(history["val_loss"]).all()
    assert trained.predict(train, verbose=0).logits.shape == (16, 2)


def anonymous_memory():
    """Bytes that are not a file's: pages of a mapped file can be dropped at any time."""
    text = Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+) kB", text).group(1)) << 10


def large(folder):
    """Arrow files of 300 MB are read by rows, in any order."""
    rows, length, parts = 15_000, 5_600, 5

    def some(part):
        rng = np.random.default_rng(part)
        return {"input_ids": rng.integers(0, 61, (rows // parts, length))}

    whole = datasets.concatenate_datasets(
        [datasets.Dataset.from_dict(some(part)) for part in range(parts)]
    )
    whole.save_to_disk(folder / "rows", num_shards=parts)
    size = sum(path.stat().st_size for path in (folder / "rows").glob("*.arrow"))
    print(f"{size >> 20} MB on disk")
    assert size > 300 << 20
    # what made it has used the memory already
    subprocess.run([sys.executable, __file__, "read", folder], check=True)


def read(folder):
    """Every row of it, in two orders."""
    data = datasets.load_from_disk(str(folder / "rows"))
    prepared = model().prepare_tf_dataset(data, 32)
    list(prepared.take(20))
    before, most, total = anonymous_memory(), 0, 0
    for _ in range(2):
        for x in prepared:
            total += x.shape[0]
            most = max(most, anonymous_memory() - before) if total % 3200 == 0 else most
    print(f"{total} rows, {most >> 20} MB more")
    assert total == 2 * (len(data) // 32) * 32 and most < 60 << 20


if __name__ == "__main__":
    {"jax": jax, "large": large, "read": read}[sys.argv[1]](Path(sys.argv[2]))
    print("passed")
