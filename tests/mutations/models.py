"""The models that faults are seeded into, by model type: classes, and what their tiny config
changes.
"""

from __future__ import annotations

from typing import Any

TIED = {"tie_word_embeddings": True}

# Ties where the default has none, and T5's gated feed-forward: places for faults. The first class
# of a type gets every fault that it executes.
CLASSES: dict[str, dict[str, dict[str, Any]]] = {
    "bert": {"BertForMaskedLM": {}, "BertForSequenceClassification": {}},
    "albert": {"AlbertForPreTraining": {}},
    "distilbert": {"DistilBertForMaskedLM": {}, "DistilBertForQuestionAnswering": {}},
    "roberta": {"RobertaForMaskedLM": {}, "RobertaForQuestionAnswering": {}},
    "electra": {"ElectraForMaskedLM": {}, "ElectraForSequenceClassification": {}},
    "gpt2": {"GPT2LMHeadModel": {}, "GPT2DoubleHeadsModel": {}},
    "llama": {"LlamaForCausalLM": TIED},
    "mistral": {"MistralForCausalLM": TIED},
    "qwen3": {"Qwen3ForCausalLM": TIED},
    "t5": {"T5ForConditionalGeneration": {"feed_forward_proj": "gated-gelu"}},
    "bart": {"BartForConditionalGeneration": {}, "BartForQuestionAnswering": {}},
    "whisper": {"WhisperForConditionalGeneration": {}},
    "vit": {"ViTForMaskedImageModeling": {}, "ViTForImageClassification": {}},
    "clip": {"CLIPModel": {}},
    "convnext": {"ConvNextForImageClassification": {}},
    "wav2vec2": {"Wav2Vec2ForPreTraining": {}, "Wav2Vec2ForCTC": {}},
    "mamba": {"MambaForCausalLM": TIED},
    "deberta-v2": {"DebertaV2ForMaskedLM": {}},
    "swin": {"SwinForMaskedImageModeling": {}, "SwinForImageClassification": {}},
    "detr": {"DetrForObjectDetection": {}},
    "mixtral": {"MixtralForCausalLM": TIED},
}
