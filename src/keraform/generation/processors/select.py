"""The processors that a GenerationConfig asks for, in upstream's order and under its conditions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

from keras import ops
from transformers import GenerationConfig
from transformers.generation.configuration_utils import SynthIDTextWatermarkingConfig

from keraform.generation.processors import (
    biases,
    constraints,
    guidance,
    lengths,
    normalization,
    repetition,
    sampling,
    watermarks,
)
from keraform.generation.processors.base import LogitsProcessor, LogitsProcessorList
from keraform.runtime.layers import Tensor
from keraform.runtime.tracing import known_value


def get_logits_processor(
    generation_config: GenerationConfig,
    prompt_length: Any,
    *,
    encoder_input_ids: Tensor | None = None,
    prefix_allowed_tokens_fn: Callable[..., Any] | None = None,
    logits_processor: Iterable[Any] | None = None,
    attention_mask: Tensor | None = None,
    unconditional_logits: Callable[..., Tensor] | None = None,
    vocab_size: int | None = None,
    max_length: Any = None,
    is_encoder_decoder: bool = False,
) -> LogitsProcessorList:
    """All processors of a generation.

    Args:
        generation_config: What is asked for.
        prompt_length: Columns of `input_ids` before the first new token: an int, or an int32 scalar
            where one program serves prompts of several lengths.
        encoder_input_ids: [b, n], of the encoder, or the prompt of a decoder (int).
        prefix_allowed_tokens_fn: Says which tokens may come.
        logits_processor: The user's own.
        attention_mask: [b, prompt], of the tokens that the decoder gets, 0 for padding.
        unconditional_logits: Gives the logits [b, v] without the prompt; see
            `UnbatchedClassifierFreeGuidanceLogitsProcessor`.
        vocab_size: Size of the vocabulary, which a watermark needs.
        max_length: Length of the whole, an int or an int32 scalar; the config's when None.
        is_encoder_decoder: Whether an encoder reads the input.

    Returns:
        The processors, first those that hold for every decoding, then the user's, then those of
        sampling.
    """
    config = generation_config
    processors = LogitsProcessorList()
    if config.guidance_scale is not None and config.guidance_scale != 1:
        assert unconditional_logits is not None, "guidance needs the logits without a prompt"
        processors.append(
            guidance.UnbatchedClassifierFreeGuidanceLogitsProcessor(
                config.guidance_scale, unconditional_logits
            )
        )
    if config.sequence_bias is not None:
        processors.append(biases.SequenceBiasLogitsProcessor(config.sequence_bias))
    without_prompt = not is_encoder_decoder and (
        prompt_length is None or (isinstance(prompt_length, int) and prompt_length == 0)
    )
    processors += _of_repetition(config, encoder_input_ids, attention_mask, without_prompt)
    if config.bad_words_ids is not None:
        processors.append(
            biases.NoBadWordsLogitsProcessor(config.bad_words_ids, config.eos_token_id)
        )
    if max_length is None:
        max_length = config.max_length
    processors += _of_lengths(config, prompt_length, max_length, prefix_allowed_tokens_fn)
    processors = processors.merged_with(logits_processor)
    if config.do_sample:
        processors += _of_sampling(config)
    if config.watermarking_config is not None:
        processors.append(_watermark(config.watermarking_config, vocab_size))
    if config.renormalize_logits is True:
        processors.append(normalization.LogitNormalization())
    return processors


def _of_repetition(
    config: GenerationConfig,
    encoder_input_ids: Tensor | None,
    attention_mask: Tensor | None,
    without_prompt: bool,
) -> list[LogitsProcessor]:
    found: list[LogitsProcessor] = []
    encoder_penalty, penalty = config.encoder_repetition_penalty, config.repetition_penalty
    encoder_size, size = config.encoder_no_repeat_ngram_size, config.no_repeat_ngram_size
    has_encoder_ids = _are_tokens(encoder_input_ids)
    if encoder_penalty is not None and encoder_penalty != 1.0:
        if has_encoder_ids:
            found.append(
                repetition.EncoderRepetitionPenaltyLogitsProcessor(
                    encoder_penalty, encoder_input_ids
                )
            )
        else:
            _ignored("encoder_repetition_penalty")
    if penalty is not None and penalty != 1.0:
        padding = None
        if attention_mask is not None:
            padding = ops.argmax(ops.cast(attention_mask != 0, "int32"), axis=1)
        found.append(repetition.RepetitionPenaltyLogitsProcessor(penalty, padding))
        if without_prompt:
            _only_new_tokens("repetition_penalty")
    if size is not None and size > 0:
        found.append(repetition.NoRepeatNGramLogitsProcessor(size))
        if without_prompt:
            _only_new_tokens("no_repeat_ngram_size")
    if encoder_size is not None and encoder_size > 0:
        if has_encoder_ids:
            found.append(
                repetition.EncoderNoRepeatNGramLogitsProcessor(encoder_size, encoder_input_ids)
            )
        else:
            _ignored("encoder_no_repeat_ngram_size")
    return found


def _of_lengths(
    config: GenerationConfig,
    prompt_length: Any,
    max_length: Any,
    prefix_allowed_tokens_fn: Callable[..., Any] | None,
) -> list[LogitsProcessor]:
    found: list[LogitsProcessor] = []
    ends = config.eos_token_id
    if config.min_length is not None and ends is not None and config.min_length > 0:
        found.append(lengths.MinLengthLogitsProcessor(config.min_length, ends))
    if config.min_new_tokens is not None and ends is not None and config.min_new_tokens > 0:
        found.append(
            lengths.MinNewTokensLengthLogitsProcessor(prompt_length, config.min_new_tokens, ends)
        )
    if prefix_allowed_tokens_fn is not None:
        found.append(
            constraints.PrefixConstrainedLogitsProcessor(
                prefix_allowed_tokens_fn, config.num_beams or 1
            )
        )
    if config.forced_bos_token_id is not None:
        found.append(lengths.ForcedBOSTokenLogitsProcessor(config.forced_bos_token_id))
    if config.forced_eos_token_id is not None:
        found.append(lengths.ForcedEOSTokenLogitsProcessor(max_length, config.forced_eos_token_id))
    if config.remove_invalid_values is True:
        found.append(normalization.InfNanRemoveLogitsProcessor())
    if config.exponential_decay_length_penalty is not None:
        found.append(
            lengths.ExponentialDecayLengthPenalty(
                config.exponential_decay_length_penalty, ends, prompt_length
            )
        )
    if config.suppress_tokens is not None:
        found.append(lengths.SuppressTokensLogitsProcessor(config.suppress_tokens))
    if config.begin_suppress_tokens is not None:
        begin = prompt_length
        if config.forced_bos_token_id is not None:  # it comes first, after a prompt of one token
            begin = begin + (ops.cast(begin <= 1, "int32") if ops.is_tensor(begin) else begin <= 1)
        found.append(
            lengths.SuppressTokensAtBeginLogitsProcessor(config.begin_suppress_tokens, begin)
        )
    return found


def _of_sampling(config: GenerationConfig) -> list[LogitsProcessor]:
    found: list[LogitsProcessor] = []
    keep = 1
    if config.num_beams is not None and config.num_beams > 1:
        # one that is no end, so that each beam can go on
        keep = 2 if config.eos_token_id is None else len(lengths.ends(config.eos_token_id)) + 1
    if config.temperature is not None and config.temperature != 1.0:
        found.append(sampling.TemperatureLogitsWarper(config.temperature))
    if config.top_h is not None:
        found.append(sampling.TopHLogitsWarper(config.top_h))
    if config.top_k is not None and config.top_k != 0:
        found.append(sampling.TopKLogitsWarper(config.top_k, min_tokens_to_keep=keep))
    if config.top_p is not None and config.top_p < 1.0:
        found.append(sampling.TopPLogitsWarper(config.top_p, min_tokens_to_keep=keep))
    if config.min_p is not None:
        found.append(sampling.MinPLogitsWarper(config.min_p, min_tokens_to_keep=keep))
    if config.typical_p is not None and config.typical_p < 1.0:
        found.append(sampling.TypicalLogitsWarper(config.typical_p, min_tokens_to_keep=keep))
    if config.epsilon_cutoff is not None and 0.0 < config.epsilon_cutoff < 1.0:
        found.append(sampling.EpsilonLogitsWarper(config.epsilon_cutoff, min_tokens_to_keep=keep))
    if config.eta_cutoff is not None and 0.0 < config.eta_cutoff < 1.0:
        found.append(sampling.EtaLogitsWarper(config.eta_cutoff, min_tokens_to_keep=keep))
    return found


def _watermark(config: Any, vocab_size: int | None) -> LogitsProcessor:
    if isinstance(config, SynthIDTextWatermarkingConfig):
        return watermarks.SynthIDTextWatermarkLogitsProcessor(
            ngram_len=config.ngram_len,
            keys=config.keys,
            sampling_table_size=config.sampling_table_size,
            sampling_table_seed=config.sampling_table_seed,
            context_history_size=config.context_history_size,
            skip_first_ngram_calls=config.skip_first_ngram_calls,
            debug_mode=config.debug_mode,
        )
    assert vocab_size is not None, "a watermark needs the size of the vocabulary"
    return watermarks.WatermarkLogitsProcessor(
        vocab_size,
        greenlist_ratio=config.greenlist_ratio,
        bias=config.bias,
        hashing_key=config.hashing_key,
        seeding_scheme=config.seeding_scheme,
        context_width=config.context_width,
    )


def _are_tokens(ids: Tensor | None) -> bool:
    """Whether these are token ids; a dummy of -100 stands where a model takes other inputs."""
    if ids is None or len(ids.shape) != 2:
        return False
    known = known_value(ids)
    return known is None or not (known < 0).any()


def _ignored(option: str) -> None:
    warnings.warn(
        f"{option} is ignored: it compares with the tokens of an input, and generate() has none.",
        stacklevel=4,
    )


def _only_new_tokens(option: str) -> None:
    warnings.warn(
        f"{option} sees new tokens only: the prompt is given as inputs_embeds, without input_ids.",
        stacklevel=4,
    )
