"""Where the names of Transformers' own infrastructure come from in a port, and which idioms disappear."""

from __future__ import annotations

import re

# Upstream module -> module of Keraform that has the same names. A name listed on its own wins over its module.
SEAM_MODULES: dict[str, str] = {
    "transformers.activations": "keraform.runtime.activations",
    "transformers.cache_utils": "keraform.runtime.caches",
    "transformers.initialization": "keraform.runtime.init",
    "transformers.masking_utils": "keraform.runtime.masks",
    "transformers.modeling_attn_mask_utils": "keraform.runtime.masks",
    "transformers.modeling_rope_utils": "keraform.runtime.rotary",
    "transformers.utils.deprecation": "keraform.runtime.renamed",
    "transformers.utils.output_capturing": "keraform.runtime.capture",
    "transformers.backbone_utils": "keraform.modeling.backbone",
    "transformers.utils.backbone_utils": "keraform.modeling.backbone",
    "transformers.generation": "keraform.generation",
    "transformers.loss.loss_utils": "keraform.training.losses",
}

SEAM_NAMES: dict[str, str] = {
    "transformers.PreTrainedModel": "keraform.modeling",
    "transformers.modeling_utils.PreTrainedModel": "keraform.modeling",
    "transformers.modeling_utils.ALL_ATTENTION_FUNCTIONS": "keraform.runtime.attention",
    "transformers.modeling_utils.AttentionInterface": "keraform.runtime.attention",
    "transformers.modeling_utils.EmbeddingAccessMixin": "keraform.modeling.embeddings.EmbeddingAccess",
    "transformers.modeling_utils.PreTrainedAudioTokenizerBase": "keraform.modeling",
    "transformers.modeling_utils.slice_logits_to_keep": "keraform.runtime.chunking",
    "transformers.modeling_layers.GradientCheckpointingLayer": "keraform.runtime.layers",
    "transformers.pytorch_utils.Conv1D": "keraform.runtime.layers.TransposedDense",
    "transformers.pytorch_utils.apply_chunking_to_forward": "keraform.runtime.chunking",
    "transformers.pytorch_utils.compile_compatible_method_lru_cache": "keraform.runtime.chunking",
    "transformers.pytorch_utils.meshgrid": "keraform.runtime.ops",
    "transformers.utils.ModelOutput": "keraform.runtime.outputs",
    "transformers.utils.generic.ModelOutput": "keraform.runtime.outputs",
    "transformers.utils.can_return_tuple": "keraform.runtime.capture",
    "transformers.utils.generic.can_return_tuple": "keraform.runtime.capture",
    "transformers.utils.generic.merge_with_config_defaults": "keraform.runtime.capture",
    "transformers.utils.merge_with_config_defaults": "keraform.runtime.capture",
    "transformers.utils.generic.check_model_inputs": "keraform.runtime.capture",
    "transformers.utils.generic.OutputRecorder": "keraform.runtime.capture",
    "transformers.utils.torch_int": "keraform.runtime.chunking",
    "transformers.utils.torch_float": "keraform.runtime.chunking",
    "transformers.image_transforms.center_to_corners_format": "keraform.runtime.boxes",
    "transformers.image_transforms.corners_to_center_format": "keraform.runtime.boxes",
    "transformers.integrations.use_experts_implementation": "keraform.runtime.experts",
    "scipy.optimize.linear_sum_assignment": "keraform.runtime.matching",
}

# Upstream's Auto classes of models, which are the user's own in a port: `TFAutoModel` and so on.
AUTO_CLASS = re.compile(r"transformers\.models\.auto\.(modeling_auto\.)?Auto(Model\w*|Backbone)")

# Modules beside a model's own that hold how it generates.
GENERATION_MODULE = re.compile(r"transformers\.models\.\w+\.generation_(?!configuration)\w+")

# Methods that generation calls, and what no call of the model itself reaches.
GENERATION_METHODS = re.compile(
    r"generate(_\w+)?|\w+_for_generation|_prepare_generat\w+|_get_\w+_logits_processor|_sample|_\w+_search|"
    r"_reorder_cache|adjust_logits_during_generation|create_masks_for_generate"
)

# A class that calls it is one of flash attention and has no place in a port.
FLASH_ATTENTION = "_flash_attention_forward"

# Modules of Transformers' infrastructure that are translated as models are, and which of their classes.
SHARED_MODULES: dict[str, str] = {
    "transformers.decision.modeling_utils": r"\w+",
    **dict.fromkeys(
        (
            f"transformers.loss.loss_{name}"
            for name in "d_fine deformable_detr deimv2 for_object_detection grounding_dino lsd lw_detr "
            "rf_detr rnnt rt_detr tdt".split()
        ),
        r"\w+",
    ),
    "transformers.modeling_layers": r"Generic\w+",
    "transformers.modeling_outputs": r"\w+",
    "transformers.time_series_utils": r"\w+",
    "transformers.vision_utils": r"\w+",
}

# Names that a port does not need: typing of keyword arguments, kernels of the Hub, distributed engines.
DROPPED_NAMES = frozenset(
    "Unpack TransformersKwargs FlashAttentionKwargs auto_docstring use_kernel_forward_from_hub use_kernelized_func "
    "use_kernel_func_from_hub_with_fallback force_accelerate_hooks is_deepspeed_zero3_enabled is_fsdp_managed_module "
    "flash_attn_supports_top_left_mask is_flash_attn_available _flash_attention_forward "
    "is_torch_flex_attn_available is_torchdynamo_compiling is_torchdynamo_exporting is_tracing maybe_autocast "
    "torch_compilable_check get_torch_context_manager_or_global_device FlashAttentionKwargs "
    "is_flash_attention_requested is_torch_greater_or_equal lazy_load_kernel resolve_internal_import "
    "safe_load_file is_accelerate_available replace_return_docstrings add_start_docstrings "
    "add_start_docstrings_to_model_forward add_code_sample_docstrings".split()
)

# Decorators that vanish.
DROPPED_DECORATORS = frozenset(
    "auto_docstring torch.no_grad use_kernel_forward_from_hub use_kernelized_func use_kernel_func_from_hub_with_fallback "
    "force_accelerate_hooks torch.jit.script torch.jit.script_if_tracing torch.jit.ignore torch.jit.unused torch.compile torch.compiler.disable "
    "torch.inference_mode torch._dynamo.disable torch.fx.wrap replace_return_docstrings "
    "add_start_docstrings add_start_docstrings_to_model_forward add_code_sample_docstrings "
    "torch.compiler.allow_in_graph torch.library.custom_op".split()
)

# Context managers that vanish: their body stands alone.
DROPPED_CONTEXTS = frozenset(
    "torch.no_grad torch.autocast torch.amp.autocast torch.cuda.amp.autocast maybe_autocast torch.enable_grad "
    "torch.nn.attention.sdpa_kernel nn.attention.sdpa_kernel torch.inference_mode torch.cuda.device get_torch_context_manager_or_global_device "
    "deepspeed.zero.GatheredParameters torch.backends.cudnn.flags torch.device torch.autograd.set_grad_enabled".split()
)

# Calls whose value is known in a port; tracing is answered with the branch that is safe in graphs.
CONSTANT_CALLS: dict[str, bool | int] = {
    "is_deepspeed_zero3_enabled": False,
    "is_fsdp_managed_module": False,
    "_is_torch_distributed_initialized": False,
    "is_torchdynamo_compiling": True,
    "is_torchdynamo_exporting": True,
    "is_tracing": True,
    "torch.jit.is_tracing": True,
    "torch.jit.is_scripting": False,
    "torch.compiler.is_compiling": True,
    "torch.compiler.is_exporting": True,
    "torch.onnx.is_in_onnx_export": True,
    "torch.is_autocast_enabled": False,
    "torch.cuda.is_available": False,
    "torch.cuda.device_count": 0,
    "torch.distributed.is_initialized": False,
    "torch.distributed.is_available": False,
    "torch.distributed.get_rank": 0,
    "torch.distributed.get_world_size": 1,
    "torch.are_deterministic_algorithms_enabled": False,
    "is_torch_flex_attn_available": False,
    "is_flash_attn_available": False,
    "is_accelerate_available": False,
    "is_flash_attention_requested": False,
    "torch.is_grad_enabled": False,
}

# Availability of packages that a port never uses (accelerators, kernels, adapters).
UNAVAILABLE = re.compile(
    r"is_(?!torch_available|vision_available|scipy_available)\w+_available|is_torch_greater_or_equal\w*"
)

# Functions that give a device.
DEVICE_CALLS = frozenset(
    {"get_torch_context_manager_or_global_device", "torch.device", "torch.get_default_device"}
)

# Methods of modules that register hooks of torch; the statement vanishes.
HOOKS = frozenset(
    "_register_load_state_dict_pre_hook register_load_state_dict_pre_hook register_load_state_dict_post_hook "
    "_register_state_dict_hook register_state_dict_post_hook register_forward_hook register_forward_pre_hook".split()
)

# Walks over the module tree, as functions of `keraform.runtime.tree`.
TREE_METHODS = {
    "named_children": "children",
    "named_modules": "named_layers",
    "named_parameters": "named_variables",
}

# Statements that vanish when they call one of these.
DROPPED_CALLS = frozenset(
    "torch._check torch._check_is_size torch_compilable_check torch.manual_seed torch.cuda.empty_cache "
    "torch.cuda.set_device torch._dynamo.mark_static_address torch._dynamo.graph_break torch.fx.wrap".split()
)
