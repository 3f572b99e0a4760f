"""Text: ids, masks, segments, boxes, and what a decoder is given."""

from __future__ import annotations

import numpy as np

from keraform.verify.inputs.scene import CHOICES, Scene, padding
from keraform.verify.tiny import SPECIAL


def tokens(scene: Scene, length: int, batch: int | None = None, masked: bool = True) -> np.ndarray:
    """Random ids without special ones, one end token closing each row, padding ids where the mask
    is 0.
    """
    batch = scene.batch if batch is None else batch
    config = scene.text_config
    size = getattr(config, "vocab_size", None)
    if not isinstance(size, int):
        return scene.rng.integers(1, 50, (batch, length))  # characters, or bytes
    if size < 2:
        return np.zeros((batch, length), "int64")
    special = {
        value
        for each in (config, scene.config)
        for name, value in each.to_dict().items()
        if name.endswith(SPECIAL) and isinstance(value, int)
    }
    ordinary = np.array([i for i in range(config.vocab_size) if i not in special])
    ids = scene.rng.choice(ordinary, (batch, length))
    mask = padding(batch, length) if masked and scene.masks else np.ones((batch, length), "int64")
    pad, end = getattr(config, "pad_token_id", None), getattr(config, "eos_token_id", None)
    if pad is not None:
        ids = np.where(mask == 1, ids, pad)
    if isinstance(end, int) and end != pad:
        for row in range(batch):
            real = np.flatnonzero(mask[row])
            ids[row, real[-1] if len(real) else length - 1] = end
    return ids.astype("int64")


def has_choices(scene: Scene) -> bool:
    """Whether a row holds several texts."""
    return scene.class_name.endswith(("ForMultipleChoice", "DoubleHeadsModel"))


def input_ids(scene: Scene) -> np.ndarray | None:
    """Ids, with placeholders in the middle of each row."""
    if has_choices(scene):
        ids = tokens(scene, scene.length, scene.batch * CHOICES)
        return _marked(ids, scene).reshape(scene.batch, CHOICES, scene.length)
    ids = tokens(scene, scene.length)
    encoder = getattr(scene.get("encoder_config"), "vocab_size", None)
    if scene.encoder_decoder and isinstance(encoder, int):
        ids = np.minimum(ids, encoder - 1)
    ids = _marked(ids, scene)
    for token, count in scene.placeholders.items():
        ids = _with_placeholders(ids, scene, np.full((scene.batch, count), token))
    return ids


def plain_ids(scene: Scene) -> np.ndarray:
    """Ids of text, beside other inputs."""
    return tokens(scene, scene.length)


# Classes that look for tokens in a row, and how many of them.
MARKS = (
    ("LongformerForQuestionAnswering", "sep_token_id", 3),
    ("LongformerForMultipleChoice", "sep_token_id", 3),
    ("SplinterForPreTraining", "question_token_id", 2),
)


def _marked(ids: np.ndarray, scene: Scene) -> np.ndarray:
    for class_name, name, count in MARKS:
        token = scene.get(name)
        if scene.class_name == class_name and token is not None:
            there = int((ids == token).sum(-1).max())  # the end of a row may be one of them
            ids[:, 4 : 4 + count - there] = token
    return ids


def several_ids(scene: Scene) -> np.ndarray | None:
    """Ids of several codebooks at each position."""
    books = scene.find("text", "num_codebooks", "n_codes_total")
    if not isinstance(books, int):
        return None
    return scene.rng.integers(0, scene.text_config.vocab_size, (*_shape(scene), books))


def text_and_codes(scene: Scene) -> np.ndarray | None:
    """An id of text and those of several codebooks at each position."""
    ids = several_ids(scene)
    return None if ids is None else np.concatenate([ids[..., :1], ids], -1)


def text_mask(scene: Scene) -> np.ndarray:
    """1 = a real token."""
    if has_choices(scene):
        return padding(scene.batch * CHOICES, scene.length).reshape(
            scene.batch, CHOICES, scene.length
        )
    mask = padding(scene.batch, scene.length)
    for count in scene.placeholders.values():
        mask = _with_placeholders(mask, scene, np.ones((scene.batch, count), "int64"))
    return mask


def image_places(scene: Scene) -> np.ndarray | None:
    """1 = a position that an image's embedding takes: those after the first token."""
    count = scene.get("latent_query_num")
    if not isinstance(count, int):
        return None
    mask = np.zeros(_shape(scene), "int64")
    mask[:, 1 : 1 + count] = 1
    return mask


def _with_placeholders(row: np.ndarray, scene: Scene, block: np.ndarray) -> np.ndarray:
    middle = scene.length // 2  # no row is padded there
    return np.concatenate([row[:, :middle], block, row[:, middle:]], 1)


def token_type_ids(scene: Scene) -> np.ndarray | None:
    """Segments."""
    kinds = scene.get("type_vocab_size", 0)
    if "type_vocab_size" not in scene.config.to_dict() or kinds < 2:
        return None
    shape = (scene.batch, CHOICES, scene.length) if has_choices(scene) else _shape(scene)
    return scene.rng.integers(0, kinds, shape)


def mm_token_type_ids(scene: Scene) -> np.ndarray | None:
    """1 where a token stands for an image, 2 for a video, 0 elsewhere."""
    if not scene.placeholders or "input_ids" not in scene.names:
        return None
    kinds = np.zeros((scene.batch, scene.length), "int64")
    for token, count in scene.placeholders.items():
        video = token in (scene.get("video_token_id"), scene.get("video_token_index"))
        kinds = _with_placeholders(kinds, scene, np.full((scene.batch, count), 1 + video))
    return kinds


def bbox(scene: Scene) -> np.ndarray:
    """Corners of boxes, in thousandths of a page, for a model that has a table of them."""
    corners = _corners(scene.rng.integers(0, 1000, (*_shape(scene), 2, 2)))
    highest = scene.find("text", "max_2d_position_embeddings", default=1001)
    return corners * (min(highest, 1001) - 1) // 1000


def relative_bbox(scene: Scene) -> np.ndarray:
    """Corners of boxes, relative to a page; a model that looks them up refuses fractions."""
    return _corners(scene.rng.uniform(size=(*_shape(scene), 2, 2)))


def _corners(ends: np.ndarray) -> np.ndarray:
    """Left, top, right and bottom, of two ends in each direction: `[batch, boxes, 4]`."""
    return np.sort(ends, axis=-1).swapaxes(-1, -2).reshape(*ends.shape[:2], 4)


BOXES = 7


def boxes(scene: Scene) -> np.ndarray:
    """Corners of what was found on a page, in thousandths of it; after the last one zeros."""
    corners = _corners(scene.rng.integers(0, 1000, (scene.batch, BOXES, 2, 2)))
    return (corners * box_mask_of(scene.batch)[..., None]).astype("float64")


def box_mask(scene: Scene) -> np.ndarray | None:
    """True = something that was found."""
    return box_mask_of(scene.batch) if "boxes" in scene.names else None


def box_mask_of(batch: int) -> np.ndarray:
    """Seven, six, five boxes, and so on."""
    return np.arange(BOXES) < BOXES - np.arange(batch)[:, None]


def decoder_input_ids(scene: Scene) -> np.ndarray | None:
    """Ids of a decoder; none where the class makes them of its own."""
    own = scene.class_name.endswith(TASKS_WITH_OWN_DECODER_INPUT)
    if own and "pixel_values" not in scene.names:
        return None
    return tokens(scene, scene.decoder_length)


def decoder_codes(scene: Scene) -> np.ndarray | None:
    """Ids of several codebooks at each position, for a decoder of sound."""
    books = scene.find("text", "num_channels", "num_codebooks")
    if not isinstance(books, int) or "pixel_values" in scene.names:
        return None
    size = (scene.batch, scene.decoder_length, books)
    return scene.rng.integers(0, scene.text_config.vocab_size, size)


TASKS_WITH_OWN_DECODER_INPUT = (
    "ForSequenceClassification",
    "ForQuestionAnswering",
    "ForTokenClassification",
)


def decoder_attention_mask(scene: Scene) -> np.ndarray | None:
    """1 = a real token of a decoder, or a real query."""
    if not scene.masks or scene.class_name.endswith(TASKS_WITH_OWN_DECODER_INPUT):
        return None
    length = scene.get("num_queries", scene.decoder_length)
    return None if "pixel_values" in scene.names else padding(scene.batch, length)


def mc_token_ids(scene: Scene) -> np.ndarray:
    """The token of each choice that decides."""
    return scene.rng.integers(0, scene.length, (scene.batch, CHOICES))


def hidden_states(scene: Scene) -> np.ndarray | None:
    """What a part of a model is given in place of ids."""
    width = scene.width or scene.find("text", "hidden_size", "d_model", "embed_dim", "dim")
    if not isinstance(width, int):
        return None
    return scene.rng.normal(size=(*_shape(scene), width))


def reply_states(scene: Scene) -> np.ndarray:
    """What a model that thinks has made of a reply, for one that speaks."""
    width = scene.get("embedding_size", scene.get("hidden_size"))
    return scene.rng.normal(size=(*_shape(scene), width))


def stacked_ids(scene: Scene) -> np.ndarray | None:
    """Ids of several codebooks, each codebook as a row of its own."""
    return _stacked(scene, scene.length) if "decoder_input_ids" not in scene.names else None


def stacked_decoder_ids(scene: Scene) -> np.ndarray | None:
    """Ids of a decoder for several codebooks, each codebook as a row of its own."""
    return None if "pixel_values" in scene.names else _stacked(scene, scene.decoder_length)


def _stacked(scene: Scene, length: int) -> np.ndarray | None:
    books = scene.find("text", "num_codebooks")
    if not isinstance(books, int):
        return None
    size = scene.find("text", "vocab_size", default=32)
    return scene.rng.integers(0, size - 1, (scene.batch * books, length))


def context_states(scene: Scene) -> np.ndarray:
    """Hidden states of the model that an assistant helps, of several layers side by side."""
    width = scene.config.hidden_size * len(scene.get("target_layer_ids", (0,)))
    return scene.rng.normal(size=(*_shape(scene), width))


def latent_inputs(scene: Scene) -> np.ndarray | None:
    """What has been preprocessed already."""
    width = scene.get("d_model")
    return None if width is None else scene.rng.normal(size=(*_shape(scene), width))


def encoder_states(scene: Scene) -> np.ndarray:
    """What a decoder or a Q-former is given of its encoder, which may have a width of its own."""
    width = scene.find("text", "encoder_hidden_size", "cross_attention_hidden_size", "hidden_size",
                       "d_model")  # fmt: skip
    return scene.rng.normal(size=(scene.batch, scene.decoder_length, width))


def query_embeds(scene: Scene) -> np.ndarray:
    """The queries of a Q-former."""
    count = scene.get("num_query_tokens", scene.decoder_length)
    return scene.rng.normal(size=(scene.batch, count, scene.config.hidden_size))


def qformer_ids(scene: Scene) -> np.ndarray:
    """Ids of a Q-former's own vocabulary."""
    size = scene.config.qformer_config.vocab_size
    return scene.rng.integers(1, size, (scene.batch, scene.decoder_length))


CLASSES = 2
QUERY = 5


def class_ids(scene: Scene) -> np.ndarray:
    """The names of the classes that are looked for, those of all rows after each other."""
    return tokens(scene, QUERY, scene.batch * CLASSES, masked=False)


def class_mask(scene: Scene) -> np.ndarray:
    """1 = a real token of a name."""
    return np.ones((scene.batch * CLASSES, QUERY), "int64")


def class_counts(scene: Scene) -> np.ndarray:
    """How many classes are looked for in each row."""
    return np.full((scene.batch,), CLASSES, "int64")


def query_ids(scene: Scene) -> np.ndarray:
    """What is to be done, in words."""
    return tokens(scene, QUERY, masked=False)


def task_ids(scene: Scene) -> np.ndarray:
    """What is to be done, in as many tokens as the model has a width for."""
    size = (scene.batch, scene.get("task_seq_len", QUERY))
    return scene.rng.integers(0, scene.get("text_encoder_vocab_size", 50), size)


def query_mask(scene: Scene) -> np.ndarray:
    """1 = a real token of a task."""
    return np.ones((scene.batch, QUERY), "int64")


ENTITIES = 2


def _has_entities(scene: Scene) -> bool:
    return "ForEntity" in scene.class_name


def entity_ids(scene: Scene) -> np.ndarray | None:
    """The entities of a text, `[batch, entities]`."""
    if not _has_entities(scene):
        return None
    return scene.rng.integers(0, scene.get("entity_vocab_size", 1), (scene.batch, ENTITIES))


def entity_mask(scene: Scene) -> np.ndarray | None:
    """1 = an entity."""
    return np.ones((scene.batch, ENTITIES), "int64") if _has_entities(scene) else None


def entity_positions(scene: Scene) -> np.ndarray | None:
    """The tokens of each entity, `[batch, entities, 3]`; -1 = none."""
    if not _has_entities(scene):
        return None
    return np.tile(np.array([[1, 2, -1], [4, 5, 6]]), (scene.batch, 1, 1))


def entity_starts(scene: Scene) -> np.ndarray | None:
    """The first token of each entity."""
    return np.tile(np.array([1, 4]), (scene.batch, 1)) if _has_entities(scene) else None


def entity_ends(scene: Scene) -> np.ndarray | None:
    """The last token of each entity."""
    return np.tile(np.array([2, 6]), (scene.batch, 1)) if _has_entities(scene) else None


QUESTIONS = 3


def marks(scene: Scene) -> np.ndarray:
    """After which token each question is decided, `[batch, questions]`."""
    places = np.linspace(scene.length // 2, scene.length, QUESTIONS).astype("int64")
    return np.tile(places, (scene.batch, 1))


def option_counts(scene: Scene) -> np.ndarray:
    """How many options each question has."""
    return np.tile(np.arange(2, 2 + QUESTIONS), (scene.batch, 1))


def question_types(scene: Scene) -> np.ndarray:
    """Of which type each question is."""
    return np.tile(np.arange(QUESTIONS), (scene.batch, 1))


def document_ids(scene: Scene) -> np.ndarray:
    """The documents of each question, one after the other."""
    return tokens(scene, scene.length, scene.batch * scene.get("n_docs", 1))


def document_mask(scene: Scene) -> np.ndarray:
    """1 = a real token of a document."""
    return padding(scene.batch * scene.get("n_docs", 1), scene.length)


def document_scores(scene: Scene) -> np.ndarray:
    """How well each document fits its question."""
    return scene.rng.normal(size=(scene.batch, scene.get("n_docs", 1)))


def _shape(scene: Scene) -> tuple[int, int]:
    return scene.batch, scene.length + sum(scene.placeholders.values())
