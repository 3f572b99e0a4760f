"""Tiny configs and inputs: distinct sizes, masks of every kind, and every class of the proved types
runs.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.verify.test_models import ALONE
from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from keraform.verify.classes import PROVED_TYPES, config_class_of, import_upstream, model_classes
from keraform.verify.drives import torch_values
from keraform.verify.inputs import make_inputs, make_labels, padding, resized_inputs, scene_of
from keraform.verify.tiny import EXCEPTIONS, VARIANTS, shrink_config, tiny_config
from keraform.verify.tiny.widths import narrow
from keraform.verify.twin import random_twin


def test_sizes_that_meet_in_one_array_differ():
    config = tiny_config("llama", "LlamaForCausalLM")
    sizes = [
        config.vocab_size,
        config.hidden_size,
        config.intermediate_size,
        config.num_attention_heads,
        config.num_key_value_heads,
        config.num_labels,
    ]
    assert len(set(sizes)) == len(sizes)
    assert config.num_hidden_layers in (2, 3)


def test_towers_differ():
    config = tiny_config("clip")
    assert config.text_config.hidden_size != config.vision_config.hidden_size


def test_special_tokens_fit_the_vocabulary():
    for model_type in PROVED_TYPES:
        config = tiny_config(model_type).get_text_config()
        ids = [v for k, v in config.to_dict().items() if k.endswith("_token_id") and v is not None]
        assert all(isinstance(i, int) and i < config.vocab_size for i in ids), model_type


def test_every_exception_has_a_reason():
    assert all(reason for rows in EXCEPTIONS.values() for _, _, reason in rows)
    assert set(EXCEPTIONS) <= set(CONFIG_MAPPING)
    assert set(VARIANTS) <= set(PROVED_TYPES)


# Types that have no tiny config yet, with the reason.
WITHOUT = {
    "esmfold2": "sixteen pairs of frequencies do not fit into a tiny head",
    "nougat": "its class names a type that Transformers does not have",
    "pp_ocrv6_small_det": "the tiny backbone lacks a stage that it asks for",
}


@pytest.mark.slow
def test_every_model_type_has_a_tiny_config():
    def builds(model_type):
        try:
            return isinstance(tiny_config(model_type), PreTrainedConfig)
        except Exception:  # whatever a config class raises when it is not content
            return False

    assert {each for each in CONFIG_MAPPING if not builds(each)} == set(WITHOUT)


def test_the_parts_of_a_composite_model_are_tiny_too():
    config = tiny_config("llava")  # both parts are Auto classes
    assert config.text_config.hidden_size == 32
    assert config.vision_config.hidden_size == 24
    assert config.vision_config.num_hidden_layers == 2


def test_a_backbone_has_a_layer_for_each_output():
    config = tiny_config("depth_anything")
    assert config.backbone_config.out_indices == [1, 2, 3, 4]
    assert config.backbone_config.num_hidden_layers == 4


def test_equal_fields_of_two_parts_stay_equal():
    config = tiny_config("granite_docling")
    assert config.vision_config.out_hidden_size == config.text_config.hidden_size


def test_a_tiny_model_has_a_layer_of_each_kind():
    config = tiny_config("qwen3_next")
    assert set(config.layer_types) == {"linear_attention", "full_attention"}
    assert config.num_hidden_layers == len(config.layer_types) <= 4


def test_rotary_sections_fill_half_a_head():
    config = tiny_config("glm4v_text")
    rope = config.rope_parameters
    size = config.hidden_size // config.num_attention_heads
    assert sum(rope["mrope_section"]) == int(size * rope.get("partial_rotary_factor", 1)) // 2


def test_widths_of_no_known_size_are_divided():
    assert narrow("decoder_hidden_size", 512) == 32
    assert narrow("neck_hidden_sizes", [48, 96, 192]) == [3, 6, 12]
    assert narrow("positional_encoding_temperature", 10000) is None
    assert narrow("lqe_hidden_dim", 64) is None


def test_experts_fill_their_groups():
    config = tiny_config("beam")
    assert config.n_group > 1 and config.num_experts % config.n_group == 0


def test_widths_that_a_class_fills_in_itself_are_divided():
    assert tiny_config("tipsv2_dpt").neck_hidden_sizes == [6, 12, 24, 48]


def test_a_part_of_another_type_is_not_asked_for_what_it_does_not_know():
    backbone = tiny_config("pp_ocrv6_small_det").backbone_config
    assert backbone.model_type == "pp_lcnet_v4" and not hasattr(backbone, "divisor")
    assert tiny_config("rf_detr").backbone_config.out_features[-1] == "stage4"


def test_padding_on_both_sides_and_a_masked_row():
    mask = padding(3, 13)
    assert mask[0, 0] == 1 and mask[0, -1] == 0
    assert mask[1, 0] == 0 and mask[1, -1] == 1
    assert not mask[2].any()


def classes_of(model_type):
    return model_classes(import_upstream(model_type))


def test_classes_are_the_public_heads():
    names = [found.__name__ for found in classes_of("bert")]
    assert "BertForPreTraining" in names and "BertModel" in names
    assert "BertLayer" not in names and "BertPreTrainedModel" not in names


@pytest.mark.parametrize("model_type", ALONE)  # others' ladders are in the suite, or a sibling's
def test_every_class_runs_with_and_without_labels(model_type):
    for torch_class in classes_of(model_type):
        config = shrink_config(config_class_of(torch_class), torch_class.__name__)
        model = random_twin(torch_class, config).build()
        scene = scene_of(torch_class, config)
        inputs = make_inputs(scene)
        again = make_inputs(scene_of(torch_class, config))
        assert all(np.array_equal(inputs[name], again[name]) for name in inputs)
        with torch.no_grad():
            assert model(**torch_values(inputs))
            labels = make_labels(scene)
            if labels:
                assert model(**torch_values({**inputs, **labels})).loss is not None
            assert model(**torch_values(resized_inputs(torch_class, config)))


def test_a_row_of_a_composite_reaches_its_part():
    config = tiny_config("uvdoc")
    assert config.backbone_config.out_features == ["stage1", "stage2", "stage3"]


def test_a_class_that_refuses_its_own_defaults_has_a_tiny_config():
    assert tiny_config("gemma4_assistant").text_config.hidden_size_per_layer_input == 0
