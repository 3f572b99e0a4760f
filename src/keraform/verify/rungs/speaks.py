"""Rung 10: calls that continue a cache, left-padded rows, and generated tokens are torch's.

Float64 with casts lifted: two candidates that are not tied then differ by far more than the two
sides do, so that tokens are equal or wrong. What torch's own model does not keep (rows under
absolute positions, a call of several tokens on a cache) is asked of the port only as far as to
equal torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from keras import ops
from torch import nn

from keraform.verify import port as ports
from keraform.verify import twin
from keraform.verify.cases import Case
from keraform.verify.compare import distance
from keraform.verify.drives import torch_values
from keraform.verify.inputs import Inputs
from keraform.verify.leaves import leaves
from keraform.verify.lift import torch_precision
from keraform.verify.outcome import PASS, ClassReport, failed, not_applicable
from keraform.verify.port import keras_precision, keras_values
from keraform.verify.tolerances import LIMITS

DTYPE = "float64"
ROWS = 2
REAL = 2  # tokens of the left-padded row: so few that a mask which is not heeded shows
NEW_TOKENS = 6
BEAMS = 3

# Arguments that hold a cache, on the way in and in the output.
CACHES = ("past_key_values", "cache_params")
SEARCHES: dict[str, dict[str, Any]] = {
    f"{name}, {'cached' if use_cache else 'uncached'}": {"num_beams": beams, "use_cache": use_cache}
    for name, beams in (("greedy", 1), (f"{BEAMS} beams", BEAMS))
    for use_cache in (True, False)
}
# Of a forward pass only: a search makes them itself.
NOT_FOR_A_SEARCH = ("token_type_ids", "mc_token_ids")

HOLDS, MOOT = "holds", "moot"

Output = Mapping[str, Any]
Run = Callable[..., Output]


class Unequal(Exception):
    """What a part found, in words."""


@dataclass
class Speakers:
    """Both sides in float64 and how to call them; arrays in, arrays (and caches) out."""

    torch: nn.Module
    keras: Any

    def run_torch(self, inputs: Inputs, **extra: Any) -> Output:
        """A forward pass of the twin."""
        with torch_precision(DTYPE, True), torch.no_grad():
            return self.torch(**torch_values(dict(inputs), torch.float64), **extra)

    def run_keras(self, inputs: Inputs, **extra: Any) -> Output:
        """A forward pass of the port."""
        with keras_precision(DTYPE, True):
            return self.keras(**keras_values(dict(inputs), DTYPE), **extra)

    def search_torch(self, inputs: Inputs, **options: Any) -> np.ndarray:
        """Tokens that the twin generates."""
        with torch_precision(DTYPE, True), torch.no_grad():
            found = self.torch.generate(**torch_values(dict(inputs), torch.float64), **options)
        return _sequences(found).numpy()

    def search_keras(self, inputs: Inputs, **options: Any) -> np.ndarray:
        """Tokens that the port generates, call by call: compiling takes longer than all rungs."""
        with keras_precision(DTYPE, True):
            values = keras_values(dict(inputs), DTYPE)
            found = self.keras.generate(**values, **{"disable_compile": True, **options})
            return np.array(ops.convert_to_numpy(_sequences(found)))


def speaks(case: Case, report: ClassReport) -> str:
    """Cached calls, left-padded rows, then tokens."""
    model = case.twin.build(DTYPE, True)
    if not getattr(model, "can_generate", lambda: False)():
        return not_applicable("the class does not generate in torch")
    sides = Speakers(model, case.port.build(DTYPE, True))
    prompt = prompt_of(case.variants[-1].inputs)
    if not _torch_takes(sides, prompt):  # rows that belong together, as codebooks do
        prompt = prompt_of(case.variants[-1].inputs, rows=None)
    found = {name: _outcome(part, sides, prompt) for name, part in PARTS.items()}
    wrong = [f"{name}: {words}" for name, words in found.items() if words not in (HOLDS, MOOT)]
    right = [name for name, words in found.items() if words == HOLDS]
    if not wrong:
        return PASS
    moot = [name for name, words in found.items() if words == MOOT]
    rest = [f"not of torch's own model: {', '.join(moot)}"] if moot else []
    return failed("; ".join([*wrong, f"what holds: {', '.join(right) or 'nothing'}", *rest]))


def _outcome(part: Callable[[Speakers, Inputs], str], sides: Speakers, prompt: Inputs) -> str:
    try:
        return part(sides, prompt)
    except Unequal as error:
        return str(error)
    except NotImplementedError as error:
        return f"the port refuses: {' '.join(str(error).split())[:200]}"


def prompt_of(inputs: Inputs, rows: int | None = ROWS) -> Inputs:
    """Rows of real tokens without masks, several choices of a row as rows."""
    found = {name: value for name, value in inputs.items() if not name.endswith("attention_mask")}
    shape = np.shape(found.get("input_ids", ()))
    if len(shape) > 2:
        found = {
            name: value.reshape(-1, shape[-1])
            for name, value in found.items()
            if value.shape == shape
        }
    return {name: value[:rows] for name, value in found.items()}


def _torch_takes(sides: Speakers, inputs: Inputs) -> bool:
    """Whether torch's own model runs with these inputs."""
    try:
        sides.run_torch(inputs)
    except Exception:
        return False
    return True


def tokens_of(inputs: Inputs) -> str:
    """The argument that holds the tokens which a cache continues."""
    return next(name for name in ("decoder_input_ids", "input_ids") if name in inputs)


def _continued(sides: Speakers, prompt: Inputs) -> str:
    """A first call and calls that go on by two tokens, at once and one by one."""
    key = tokens_of(prompt)
    length = prompt[key].shape[1]
    met = False
    for cuts in ((length - 2, length), (length - 2, length - 1, length)):
        theirs = list(_calls(sides.run_torch, prompt, key, cuts, ignore=True))
        if not theirs:
            continue
        met = True
        ours = list(_calls(sides.run_keras, prompt, key, cuts))
        whole = _logits(sides.run_torch(prompt, use_cache=False))
        own = _logits(sides.run_keras(prompt, use_cache=False))
        start = 0
        for stop, got, wanted in zip(cuts, ours, theirs, strict=True):
            _equal(got, wanted, f"positions {start} to {stop} are off torch's by")
            part = whole[:, start:stop]
            if part.shape == wanted.shape and distance(part, wanted) <= LIMITS[DTYPE]:
                _equal(got, own[:, start:stop], f"positions {start} to {stop} are off uncached by")
            start = stop
    return HOLDS if met else MOOT


def _calls(
    run: Run, prompt: Inputs, key: str, cuts: tuple[int, ...], ignore: bool = False
) -> Iterator[np.ndarray]:
    """The logits of each call; none where the first gives no cache, or (`ignore`) a call raises."""
    start = 0
    cache: dict[str, Any] = {}
    found = []
    for stop in cuts:
        part = {
            name: value[:, start:stop] if np.shape(value) == np.shape(prompt[key]) else value
            for name, value in prompt.items()
        }
        try:
            output = run(part, use_cache=True, **cache)
        except Exception:
            if ignore:
                return
            raise
        found.append(_logits(output))
        cache = {name: output[name] for name in CACHES if _given(output, name) is not None}
        if not cache:
            return
        start = stop
    yield from found


def _given(output: Any, name: str) -> Any:
    return output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)


def _padded(sides: Speakers, prompt: Inputs) -> str:
    """A row padded on the left beside a whole one, and alone, each with its own positions."""
    batch, alone, real = _padding(sides, prompt) or ({}, {}, 0)
    if not batch:
        return MOOT
    if "position_ids" in inspect.signature(sides.torch.forward).parameters:
        batch["position_ids"] = np.maximum(np.cumsum(batch["attention_mask"], -1) - 1, 0)
        alone["position_ids"] = batch["position_ids"][-1:, -real:]
        if not (_torch_takes(sides, batch) and _torch_takes(sides, alone)):
            batch.pop("position_ids"), alone.pop("position_ids")
    start = -real if tokens_of(prompt) == "input_ids" else 0
    wanted, got = (_logits(run(batch))[-1:, start:] for run in (sides.run_torch, sides.run_keras))
    _equal(got, wanted, "is off torch's by")
    theirs = _logits(sides.run_torch(alone))
    if theirs.shape != wanted.shape or distance(theirs, wanted) > LIMITS[DTYPE]:
        return MOOT
    _equal(_logits(sides.run_keras(alone)), got, "is off the row alone by")
    return HOLDS


def _padding(sides: Speakers, prompt: Inputs) -> tuple[Inputs, Inputs, int] | None:
    """A batch with a padded row, that row alone, and its number of real tokens: few real tokens,
    or where images or sounds have places among them, all. None where torch takes neither.
    """
    if "input_ids" not in prompt or np.ndim(prompt["input_ids"]) != 2:
        return None
    for make in (left_padded, left_lengthened):
        batch, alone = make(sides.torch, prompt)
        if _torch_takes(sides, batch) and _torch_takes(sides, alone):
            return batch, alone, alone["input_ids"].shape[1]
    return None


def left_padded(model: nn.Module, prompt: Inputs) -> tuple[Inputs, Inputs]:
    """The prompt with its last row padded on the left; and that row's real tokens alone."""
    ids = prompt["input_ids"].copy()
    mask = np.ones_like(ids)  # 1 is a real token
    ids[-1, :-REAL], mask[-1, :-REAL] = _pad_token(model), 0
    batch = prompt | {"input_ids": ids, "attention_mask": mask}
    alone = {
        name: value[-1:, -REAL:] if np.shape(value) == ids.shape else value[-1:]
        for name, value in batch.items()
    }
    return batch, alone


def left_lengthened(model: nn.Module, prompt: Inputs) -> tuple[Inputs, Inputs]:
    """The prompt longer by some columns, which are padding in the last row and tokens in others;
    and the last row alone, as it was.
    """
    shape = prompt["input_ids"].shape
    # of what is as long as the tokens (their types), columns repeat what comes first
    batch = {
        name: np.concatenate([np.repeat(value[:, :1], REAL, axis=1), value], axis=1)
        if np.shape(value) == shape
        else value
        for name, value in prompt.items()
    }
    mask = np.ones_like(batch["input_ids"])  # 1 is a real token
    batch["input_ids"][-1, :REAL], mask[-1, :REAL] = _pad_token(model), 0
    alone = {name: value[-1:] for name, value in prompt.items()}
    alone["attention_mask"] = np.ones_like(alone["input_ids"])
    return batch | {"attention_mask": mask}, alone


def _pad_token(model: nn.Module) -> int:
    return getattr(getattr(model, "config", None), "pad_token_id", None) or 0


def _generated(sides: Speakers, prompt: Inputs) -> str:
    """Tokens of each search, of whole rows and of a left-padded batch."""
    prompt = {
        name: value
        for name, value in prompt.items()
        if not name.startswith("decoder_") and name not in NOT_FOR_A_SEARCH
    }
    padding = _padding(sides, prompt)
    met = False
    for name, options in SEARCHES.items():
        found = _searched(sides, prompt, options)
        if found is None:
            continue
        met = True
        _same_tokens(*found, name)
        if padding is not None:
            _padded_search(sides, padding[:2], name, options)
    return HOLDS if met else MOOT


def _padded_search(
    sides: Speakers, rows: tuple[Inputs, Inputs], name: str, options: Mapping[str, Any]
) -> None:
    batch, alone = (_searched(sides, inputs, options) for inputs in rows)
    if batch is None or alone is None:
        return
    got, wanted = batch
    _same_tokens(got, wanted, f"{name}, left-padded batch")
    ours, theirs = (tokens[:, -NEW_TOKENS:] for tokens in alone)
    _same_tokens(ours, theirs, f"{name}, row alone")
    if (wanted[-1:, -NEW_TOKENS:] == theirs).all():
        _same_tokens(got[-1:, -NEW_TOKENS:], ours, f"{name}, left-padded row and row alone")


def _searched(
    sides: Speakers, inputs: Inputs, options: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray] | None:
    """The port's tokens and torch's, of a search without chance that does not end early; None where
    torch's own does not run.
    """
    fixed = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False}
    try:
        wanted = sides.search_torch(inputs, **fixed, **options)
    except Exception:
        return None
    return sides.search_keras(inputs, **fixed, **options), wanted


PARTS: dict[str, Callable[[Speakers, Inputs], str]] = {
    "a cache continued equals uncached": _continued,
    "left-padded rows equal single rows": _padded,
    "generated tokens equal torch's": _generated,
}


def _sequences(found: Any) -> Any:
    """What was generated: tokens, or the sound that a model makes of them."""
    first = next(iter(found.values())) if isinstance(found, Mapping) else found
    return first[0] if isinstance(first, (tuple, list)) else first


def _logits(output: Any) -> np.ndarray:
    """The scores of the vocabulary: `logits`, or the first output."""
    found = _given(output, "logits")
    if found is None:
        found = next(iter(output.values())) if isinstance(output, Mapping) else output[0]
    read = twin.read_leaf if isinstance(found, torch.Tensor) else ports.read_leaf
    return leaves(found, read)["output"].array


def _equal(got: np.ndarray, wanted: np.ndarray, words: str) -> None:
    if got.shape != wanted.shape:
        raise Unequal(f"shape {got.shape}, expected {wanted.shape}")
    error = distance(wanted, got)
    if not error <= LIMITS[DTYPE]:
        raise Unequal(f"{words} {error:.1e}")


def _same_tokens(got: np.ndarray, wanted: np.ndarray, words: str) -> None:
    if got.shape != wanted.shape:
        raise Unequal(f"{words}: shape {got.shape}, torch gives {wanted.shape}")
    if wanted.dtype.kind == "f":  # sound
        return _equal(got, wanted, f"{words}: is off torch's by")
    places = np.argwhere(got != wanted)
    if len(places):
        at = tuple(places[0])
        where = f"row {at[0]}, token {', '.join(map(str, at[1:]))}"
        raise Unequal(f"{words}: {where} is {got[at]}, expected {wanted[at]}")
