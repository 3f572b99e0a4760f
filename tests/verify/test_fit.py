"""Fitting: the config and the inputs that torch's own model takes."""

import pytest
import torch

from keraform.verify.classes import classes_of
from keraform.verify.fit import fit
from keraform.verify.inputs import make_inputs, make_labels
from keraform.verify.tiny import ratios_of, scaled_config


def fitted(model_type, class_name):
    return fit(next(each for each in classes_of(model_type) if each.__name__ == class_name))


def test_the_first_plan_is_taken_where_it_runs():
    found = fitted("bert", "BertModel")
    assert found.problem is None and found.bare
    assert found.config.hidden_size == 24 and found.config.intermediate_size == 37
    assert not any(found.forms.values()) and not found.placeholders


def test_heads_that_share_nothing_get_a_round_config():
    found = fitted("deepseek_v32", "DeepseekV32Model")
    assert found.problem is None
    assert found.config.num_key_value_heads == found.config.num_attention_heads


def test_as_many_placeholders_as_the_image_has_features():
    found = fitted("llava", "LlavaForConditionalGeneration")
    token = found.config.image_token_id
    count = found.placeholders[token]
    ids = make_inputs(found.scene())["input_ids"]
    assert ((ids == token).sum(1) == count).all()
    with torch.no_grad():
        features = found.running_twin.build().get_image_features(
            torch.from_numpy(make_inputs(found.scene())["pixel_values"]).float()
        )
    assert sum(len(each) for each in features.pooler_output) == count * len(ids)


def test_an_argument_is_tried_in_its_other_forms():
    found = fitted("csm", "CsmBackboneModel")
    assert found.forms["input_ids"] == 1
    assert make_inputs(found.scene())["input_ids"].ndim == 3


def test_bytes_need_no_vocabulary():
    assert fitted("canine", "CanineModel").problem is None


def test_masks_that_leave_a_model_nothing_but_nan_are_left_out():
    class Hides(classes_of("bert")[0]):
        def forward(self, input_ids=None, attention_mask=None):
            hidden = self.get_input_embeddings()(input_ids)
            if attention_mask is not None:
                gone = attention_mask.logical_not()[:, :, None]
                hidden = hidden.masked_fill(gone, float("-inf")).softmax(1)
            return (hidden,)

    found = fit(Hides)
    assert found.problem is None and not found.undefined
    assert found.forms["attention_mask"] > 0


def test_what_does_not_run_says_why():
    class Refuses(classes_of("bert")[0]):
        def forward(self, input_ids=None):
            raise NotImplementedError("never")

    found = fit(Refuses)
    with pytest.raises(NotImplementedError, match="never"):
        _ = found.running_twin
    assert found.config is not None


def test_a_scaled_config_keeps_what_is_equal_equal():
    config_class = classes_of("clip")[0].config_class
    ratio = ratios_of(config_class)[0]
    config = scaled_config(config_class, ratio)
    whole = config_class()
    for part in ("text_config", "vision_config"):
        small, large = getattr(config, part), getattr(whole, part)
        assert small.hidden_size * ratio.widths == large.hidden_size
        assert small.num_attention_heads * ratio.heads == large.num_attention_heads
        assert small.intermediate_size * ratio.widths == large.intermediate_size
    assert ratio.widths > ratio.heads > 1 and ratio.images


def test_series_have_a_past_and_a_future():
    found = fitted("time_series_transformer", "TimeSeriesTransformerModel")
    assert found.problem is None
    inputs = make_inputs(found.scene())
    past = found.config.context_length + max(found.config.lags_sequence)
    assert inputs["past_values"].shape == (3, past)
    assert inputs["future_time_features"].shape == (3, found.config.prediction_length, 2)


def test_an_argument_that_a_model_may_do_without_is_left_out_first():
    found = fitted("blip_2_qformer", "Blip2QFormerModel")
    assert found.forms["encoder_hidden_states"] == 1
    width = found.config.encoder_hidden_size
    assert make_inputs(found.scene())["encoder_hidden_states"].shape[-1] == width


def test_a_backbone_of_timm_has_one_of_transformers_own_in_its_place():
    found = fitted("dab-detr", "DabDetrModel")
    assert found.problem is None
    assert found.config.backbone_config.model_type == "resnet"


def test_a_part_gets_states_as_wide_as_it_asks_for():
    found = fitted("uvdoc", "UVDocBridge")
    assert found.problem is None and found.width == 16
    assert make_inputs(found.scene())["hidden_states"].shape[:2] == (3, 16)


def test_labels_are_as_long_as_the_text_with_its_placeholders():
    found = fitted("llava", "LlavaForConditionalGeneration")
    inputs, labels = make_inputs(found.scene()), make_labels(found.scene())
    assert labels["labels"].shape == inputs["input_ids"].shape


def test_boxes_are_relative_unless_they_are_looked_up():
    relative = make_inputs(fitted("bros", "BrosModel").scene())["bbox"]
    assert relative.dtype == "float64" and relative.max() <= 1
    assert make_inputs(fitted("layoutlm", "LayoutLMModel").scene())["bbox"].dtype == "int64"


def test_a_class_that_refuses_ids_gets_embeddings():
    found = fitted("qwen3_omni_moe", "Qwen3OmniMoeTalkerCodePredictorModel")
    assert found.problem is None
    inputs = make_inputs(found.scene())
    assert "input_ids" not in inputs and inputs["inputs_embeds"].ndim == 3


def test_a_model_that_only_complains_says_how_many_placeholders_it_wants():
    found = fitted("qwen2_audio", "Qwen2AudioModel")
    assert found.problem is None and list(found.placeholders) == [found.config.audio_token_id]


def test_a_model_of_several_modalities_gets_them_by_name():
    found = fitted("perceiver", "PerceiverForMultimodalAutoencoding")
    assert set(make_inputs(found.scene())["inputs"]) == {"image", "audio", "label"}
