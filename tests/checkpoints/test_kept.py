"""Twenty model types are saved here and loaded by torch and here, every weight bit for bit."""

from __future__ import annotations

import pytest

from keraform.verify.outcome import PASS, ClassReport
from keraform.verify.rungs.kept import kept
from keraform.verify.targets import Target, cases_of

# Ties, fused and merged weights, experts, convolutions, and, of the last six, batch-norm buffers.
CLASSES = {
    "bert": "BertForMaskedLM",
    "albert": "AlbertForMaskedLM",
    "distilbert": "DistilBertForQuestionAnswering",
    "deberta-v2": "DebertaV2ForMaskedLM",
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "mixtral": "MixtralForCausalLM",
    "mamba": "MambaForCausalLM",
    "t5": "T5ForConditionalGeneration",
    "bart": "BartForConditionalGeneration",
    "whisper": "WhisperForConditionalGeneration",
    "vit": "ViTForImageClassification",
    "clip": "CLIPModel",
    "resnet": "ResNetForImageClassification",
    "regnet": "RegNetForImageClassification",
    "mobilenet_v2": "MobileNetV2ForImageClassification",
    "efficientnet": "EfficientNetForImageClassification",
    "mobilevit": "MobileViTForImageClassification",
    "levit": "LevitForImageClassification",
}


@pytest.mark.slow
@pytest.mark.parametrize("model_type, name", CLASSES.items())
def test_torch_loads_what_was_saved(model_type, name):
    (case,) = cases_of(Target(model_type, (name,)))
    buffers = [key for key in case.state if key.endswith(("running_mean", "running_var"))]
    assert bool(buffers) == (list(CLASSES).index(model_type) >= 14)
    assert kept(case, ClassReport(name)) == PASS
