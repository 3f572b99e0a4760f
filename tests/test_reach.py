"""Reach: what Transformers 4 had in TensorFlow, and what KerasHub loads, is in the support table,
with every class that PyTorch has for it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keraform import support

# The model types of the TensorFlow maps of Transformers 4.57. Of its 71, Transformers 5 has two no
# more (`efficientformer`, `transfo-xl`), and `gpt-sw3` is a tokenizer for GPT-2.
TRANSFORMERS_4 = """
    albert bart bert blenderbot blenderbot-small blip camembert clip convbert convnext convnextv2
    ctrl cvt data2vec-vision deberta deberta-v2 deit distilbert dpr electra encoder-decoder esm
    flaubert funnel gpt2 gptj groupvit hubert idefics layoutlm layoutlmv3 led longformer
    lxmert marian mbart mistral mobilebert mobilevit mpnet mt5 openai-gpt opt pegasus regnet rembert
    resnet roberta roberta-prelayernorm roformer sam sam_vision_model segformer speech_to_text
    swiftformer swin t5 tapas vision-encoder-decoder vision-text-dual-encoder vit vit_mae wav2vec2
    whisper xglm xlm xlm-roberta xlnet
""".split()
# Those that KerasHub converts from Transformers' files.
KERASHUB = """
    albert bart bert blip-2 clip deit dinov2 dinov2_with_registers dinov3_vit distilbert esm gemma
    gemma2 gemma3 gemma3_text gemma3n gemma4 gemma4_assistant gemma4_text gpt2 gpt_oss llama
    metaclip_2 mistral mixtral modernbert paligemma qwen2 qwen2_moe qwen3 qwen3_5 qwen3_5_moe
    qwen3_moe roberta sam3_video smollm3 swin t5gemma t5gemma2 vit xlm-roberta
""".split()
# Classes that are not proved yet, each with what stands in the way.
HALF = "one of its dtypes in half precision is not torch's"
ROUNDING = "torch's own float32 is further from float64 than a port may be"
BEHIND = {
    "TFGemma3nAudioEncoder": HALF,
    "TFSam3TrackerModel": ROUNDING,
    "TFSam3VideoModel": "no tiny config that torch's own model runs with was found yet",
}


def test_what_ci_always_proves_is_proved() -> None:
    makefile = Path(__file__).parents[1] / "Makefile"
    core = re.search(r"^CORE := ((?:.*\\\n)*.*)$", makefile.read_text(), re.MULTILINE)
    assert core is not None
    types = core[1].replace("\\", " ").split()
    assert len(types) == 30
    for model_type in types:
        rows = support.rows(support.table(), model_type)
        failed = {name for name, row in rows.items() if row["rungs"].get("5") != "pass"}
        assert rows and not failed, model_type


@pytest.mark.parametrize("model_type", sorted({*TRANSFORMERS_4, *KERASHUB}))
def test_what_others_loaded_is_proved(model_type: str) -> None:
    rows = support.rows(support.table(), model_type)
    assert rows, "try: make support"
    behind = {
        name
        for name, row in rows.items()
        if support.runs_in_torch(row) and not support.is_proved(row)
    }
    assert behind == {name for name in BEHIND if name in rows}
