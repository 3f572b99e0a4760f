"""Audio: samples, spectrograms, codes."""

from __future__ import annotations

import numpy as np

from keraform.verify.inputs.scene import Scene, parts

FRAMES_PER_POSITION = 2  # Whisper halves its frames
FRAMES = 64
FRAMES_PER_TOKEN = {"voxtral_realtime": 8}  # of models that hear and read at once
CODES = 7

_BANDS = ("num_mel_bins", "n_mels", "mel_dim", "feature_size", "input_feat_per_channel",
          "feature_projection_input_dim", "input_size", "input_dim", "num_mels",
          "input_feat_size", "audio_embed_dim")  # fmt: skip


def bands(scene: Scene) -> int:
    """Of a spectrogram, of which several frames may be stacked."""
    stacked = scene.find("audio", "num_stacked_frames", default=1)
    return int(scene.find("audio", *_BANDS, default=80) * stacked)


def frames(scene: Scene) -> int:
    """Of a spectrogram."""
    if scene.config.model_type in FRAMES_PER_TOKEN:
        return FRAMES_PER_TOKEN[scene.config.model_type] * scene.length
    positions = scene.find("audio", "max_source_positions")
    window = 2 * scene.find("audio", "n_window", default=1)  # of which there are whole ones
    return FRAMES_PER_POSITION * positions if positions else -(-FRAMES // window) * window


def input_features(scene: Scene) -> np.ndarray:
    """A spectrogram, bands before frames."""
    return scene.rng.normal(size=(scene.batch, bands(scene), frames(scene)))


def frames_first(scene: Scene) -> np.ndarray:
    """A spectrogram, frames before bands."""
    return scene.rng.normal(size=(scene.batch, frames(scene), bands(scene)))


def embedded_frames(scene: Scene) -> np.ndarray | None:
    """A spectrogram as wide as the model's hidden states."""
    width = scene.get("d_model")
    return None if width is None else scene.rng.normal(size=(scene.batch, frames(scene), width))


def with_channel(scene: Scene) -> np.ndarray:
    """A spectrogram as an image of one channel."""
    height = scene.find("audio", "spec_size", default=frames(scene))
    return scene.rng.normal(size=(scene.batch, 1, height, bands(scene)))


def spectrogram(scene: Scene) -> np.ndarray | None:
    """Of a length that the model has a table of positions for."""
    length = scene.find("audio", "max_length")
    if length is None:
        return None
    return scene.rng.normal(size=(scene.batch, length, bands(scene)))


# Models whose samples come in frames of a certain length, or that need many of them.
SAMPLES = {"moonshine": 1215, "moonshine_streaming": 640, "muse_spark_audio": 3840, "xcodec2": 8960,
           "neucodec": 8960}  # fmt: skip


def sample_count(scene: Scene) -> int:
    """Of a wave."""
    types = [config.model_type for config in parts(scene.config, "audio")]
    return next((SAMPLES[each] for each in types if each in SAMPLES), scene.samples)


def samples(scene: Scene) -> np.ndarray:
    """A wave: `[batch, samples]`."""
    return scene.rng.normal(size=(scene.batch, sample_count(scene)))


def decoder_frames(scene: Scene) -> np.ndarray:
    """Frames of a spectrogram that a decoder has made: `[batch, frames, bands]`."""
    return scene.rng.normal(size=(scene.batch, scene.decoder_length, bands(scene)))


REFERENCE = 20


def reference_frames(scene: Scene) -> np.ndarray:
    """A spectrogram of whoever is to speak, frames before bands."""
    return scene.rng.normal(size=(scene.batch, REFERENCE, bands(scene)))


def speaker_vector(scene: Scene) -> np.ndarray | None:
    """Who is to speak: `[batch, width]`."""
    width = scene.find("audio", "enc_emb_dim")
    return None if width is None else scene.rng.normal(size=(scene.batch, width))


def speaker_of_frames(scene: Scene) -> np.ndarray | None:
    """Who is to speak, for each frame: `[batch, frames, width]`."""
    width = scene.find("audio", "enc_emb_dim")
    return None if width is None else scene.rng.normal(size=(scene.batch, frames(scene), width))


def noisy_frames(scene: Scene) -> np.ndarray | None:
    """A spectrogram on its way from noise, frames before bands."""
    return frames_first(scene) if "time_step" in scene.names else None


def codes_of_frames(scene: Scene) -> np.ndarray | None:
    """Indices into a codebook, each of which stands for several frames: `[batch, codes]`."""
    repeats, size = scene.find("audio", "repeats"), scene.find("audio", "num_embeds")
    if repeats is None or size is None:
        return None
    return scene.rng.integers(0, size, (scene.batch, frames(scene) // repeats))


def spoken_codes(scene: Scene) -> np.ndarray:
    """Indices into a codebook: `[batch, codes]`."""
    size = scene.find("audio", "num_embeds", "codebook_size", default=32)
    return scene.rng.integers(0, size, (scene.batch, CODES))


def padded_frames(scene: Scene) -> np.ndarray:
    """True = padding."""
    return frame_mask(scene) == 0


def speaker(scene: Scene) -> np.ndarray | None:
    """Who speaks: `[batch, width]`."""
    width = scene.get("speaker_embedding_dim")
    return None if width is None else scene.rng.normal(size=(scene.batch, width))


def samples_with_channel(scene: Scene) -> np.ndarray:
    """A wave: `[batch, channels, samples]`."""
    count = scene.find("audio", "audio_channels", "num_channels", "channels", default=1)
    stride = int(np.prod(scene.find("audio", "downsampling_ratios", "upsampling_ratios",
                                    default=[8])))  # fmt: skip
    length = max(sample_count(scene), 2 * stride)
    return scene.rng.normal(size=(scene.batch, count if isinstance(count, int) else 1, length))


def sample_mask(scene: Scene) -> np.ndarray:
    """Counts of samples; no empty row, since its count of frames would be -1, which torch's own
    losses refuse.
    """
    mask = np.ones((scene.batch, sample_count(scene)), "int64")
    mask[0, -60:] = 0
    if scene.batch > 1:
        mask[1, :37] = 0
    return mask


def frame_mask(scene: Scene) -> np.ndarray:
    """1 = a real frame."""
    mask = np.ones((scene.batch, frames(scene)), "int64")
    if "input_ids" not in scene.names:  # there every row has as many placeholders
        mask[0, -16:] = 0
    return mask


def frame_flags(scene: Scene) -> np.ndarray:
    """True = a real frame."""
    return frame_mask(scene).astype(bool)


def feature_frames(scene: Scene) -> int:
    """What a feature extractor makes of the samples."""
    length = sample_count(scene)
    for kernel, stride in zip(scene.config.conv_kernel, scene.config.conv_stride, strict=False):
        length = (length - kernel) // stride + 1
    return length


def mask_time_indices(scene: Scene) -> np.ndarray | None:
    """The frames that pretraining hides."""
    if not scene.class_name.endswith("ForPreTraining"):
        return None
    mask = np.zeros((scene.batch, feature_frames(scene)), bool)
    mask[:, 2:9] = True
    return mask


def sampled_negative_indices(scene: Scene) -> np.ndarray:
    """Other frames of the same row, as wrong answers."""
    count, negatives = feature_frames(scene), scene.config.num_negatives
    indices = scene.rng.integers(0, count, (scene.batch, count, negatives))
    return indices + np.arange(scene.batch)[:, None, None] * count


def audio_codes(scene: Scene) -> np.ndarray:
    """Indices into several codebooks."""
    books = scene.find("audio", "num_codebooks", "num_quantizers", "n_codebooks", default=1)
    size = scene.find("audio", "codebook_size", default=32)
    return scene.rng.integers(0, size, (scene.batch, books, CODES))


def latents(scene: Scene) -> np.ndarray | None:
    """What a decoder of audio is given: `[batch, width, frames]`."""
    width = scene.find("audio", "hidden_size", "latent_size", "codebook_dim")
    return None if width is None else scene.rng.normal(size=(scene.batch, width, CODES))


def sample_counts(scene: Scene) -> np.ndarray:
    """How many samples the frames of each row were made of, `[batch]`; the first has fewer."""
    counts = np.full(scene.batch, frames(scene) * scene.find("audio", "hop_length", default=1))
    if scene.masks and "input_ids" not in scene.names:
        counts[0] -= counts[0] // 4
    return counts


def cutoffs(scene: Scene) -> np.ndarray:
    """Where the wave of each row ends, `[batch, 1]`."""
    return np.full((scene.batch, 1), samples_with_channel(scene).shape[-1])


def text_codes(scene: Scene) -> np.ndarray:
    """Indices into several codebooks, as many as there are tokens: `[batch, books, tokens]`."""
    books = scene.get("num_codebooks", 1)
    size = scene.find("audio", "codebook_size", default=32)
    return scene.rng.integers(0, size, (scene.batch, books, scene.length))
