"""Arguments and fields go by the names that any release has for them."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import dataclass

import pytest

from keraform.modeling import unpack_inputs
from keraform.runtime.layers import Layer
from keraform.runtime.outputs import ModelOutput
from keraform.runtime.renamed import RENAMED, deprecate_kwarg, newer_name, takes_older_names


@dataclass
class Newer(ModelOutput):
    logits: object | None = None
    cache: object | None = None


@dataclass
class Older(ModelOutput):
    logits: object | None = None
    past_key_values: object | None = None


def test_a_name_stays_where_it_is_known():
    assert newer_name("past_key_values", {"cache": 1}) == "cache"
    assert newer_name("past_key_values", {"past_key_values": 1, "cache": 1}) == "past_key_values"
    assert newer_name("past_key_values", {}) == "past_key_values"
    assert newer_name("logits", {"cache": 1}) == "logits"


@pytest.mark.parametrize("older", RENAMED)
def test_outputs_are_read_and_written_by_either_name(older):
    out = Newer(logits=1, **{older: 2})
    assert out.cache == out["cache"] == out[older] == getattr(out, older) == out.get(older) == 2
    assert older in out and "cache" in out and list(out) == ["logits", "cache"]
    out[older] = 3
    assert out.cache == 3 == out[1]
    setattr(out, older, 4)
    assert out["cache"] == 4 and older not in vars(out)
    for copied in (copy.copy(out), copy.deepcopy(out), pickle.loads(pickle.dumps(out))):
        assert getattr(copied, older) == 4 and list(copied) == ["logits", "cache"]
    assert getattr(Newer(logits=1), older) is None and older not in Newer(logits=1)


def test_fields_that_a_release_still_has_keep_their_name():
    out = Older(past_key_values=2)
    assert out.past_key_values == out["past_key_values"] == 2 and list(out) == ["past_key_values"]
    assert not hasattr(out, "cache") and "cache" not in out
    with pytest.raises(AttributeError, match="'Older' has no field 'cache_params'"):
        _ = out.cache_params
    with pytest.raises(TypeError):
        Newer(hidden_states=1)


def test_seams_take_older_names():
    @takes_older_names
    def seam(config, cache=None, **kwargs):
        return cache, kwargs

    assert seam(0, past_key_values=1) == seam(0, 1) == seam(0, cache=1) == (1, {})
    assert seam(0, position_ids=2) == (None, {"position_ids": 2})


def test_deprecated_arguments_are_renamed_with_a_warning():
    @deprecate_kwarg("size", version="9.1")
    @deprecate_kwarg("old", "9.0", new_name="new")
    def function(new=None, **kwargs):
        return new, kwargs

    assert function(3) == function(new=3) == (3, {})
    with pytest.warns(FutureWarning, match=r"`old` of .*function.* gone in .*9\.0\. Use `new`"):
        assert function(old=3) == (3, {})
    with pytest.warns(FutureWarning):
        assert function(old=3, new=4) == (4, {})  # the newer name counts, as upstream
    with pytest.warns(FutureWarning, match=r"`size`.*9\.1\. Leave it out"):
        assert function(size=3) == (None, {"size": 3})
    assert list(inspect.signature(function).parameters) == ["new", "kwargs"]


class Model(Layer):
    @unpack_inputs
    @deprecate_kwarg("old", "9.0", new_name="new")
    def call(self, ids=None, new=None):
        return ids, new


def test_models_take_deprecated_arguments_even_where_others_are_refused():
    with pytest.warns(FutureWarning, match="Use `new` instead"):
        assert Model().call("a", old="b") == ("a", "b")
    with pytest.warns(FutureWarning, match="Use `new` instead"):
        assert Model().call({"ids": "a", "old": "b"}) == ("a", "b")
    with pytest.raises(TypeError, match="unknown input other"):
        Model().call("a", other="b")
