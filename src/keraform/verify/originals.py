"""Originals: torch classes that cannot run here whatever they are given, and why.

There is nothing to compare such a class with, and it is not counted. A class for which no tiny
config or no inputs were found is another matter: that is Keraform's own failure.
"""

from __future__ import annotations

# Classes that cannot run in the release that is installed, with what is wrong in them.
BROKEN: dict[str, str] = {
    "Qwen3OmniMoeCode2WavDecoderBlock": "its constructor wants a layer's number beside the config",
    "Gemma4AssistantForCausalLM": "its config wants all layers to share keys, which these refuse",
    "Gemma4UnifiedAssistantForCausalLM": "its config wants all layers to share keys, which these"
    " refuse",
}

# Classes that know no eager attention, with what is wrong in them.
WITHOUT_EAGER: dict[str, str] = {
    "Qwen2_5OmniToken2WavDiTModel": "it looks its attention up by name, and the eager one has none",
}

# What torch says where a device is lacking.
NO_DEVICE = ("Found no NVIDIA driver", "not compiled with CUDA", "CUDA is not available")


def attention_of(class_name: str) -> str:
    """Which attention a torch class is compared with: the eager one, where it knows that."""
    return "sdpa" if class_name.removeprefix("TF") in WITHOUT_EAGER else "eager"


def out_of_reach(class_name: str, error: BaseException) -> str | None:
    """Why a torch class cannot run here, None where it could with another config or other inputs.

    Args:
        class_name: the torch class, with or without the prefix of its port.
        error: what was raised when it was tried.
    """
    if isinstance(error, ImportError) or any(each in str(error) for each in NO_DEVICE):
        message = " ".join(str(error).split())[:300]
        return f"{type(error).__name__}: {message}"
    reason = BROKEN.get(class_name.removeprefix("TF"))
    return None if reason is None else f"a fault of Transformers: {reason}"
