"""Where a model keeps its input and output embeddings, its encoder and its decoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keraform.errors import explain
from keraform.runtime.tree import owns

_ENCODERS = {
    None: ("text_encoder", "encoder"),
    "image": ("vision_tower", "visual", "vision_model", "vision_encoder", "image_tower"),
    "video": ("vision_tower", "visual", "vision_model", "vision_encoder", "image_tower"),
    "audio": ("audio_tower", "audio_encoder", "speech_encoder"),
}
_DECODERS = ("language_model", "text_model", "decoder", "text_decoder")


class EmbeddingAccess:
    """Getters and setters by upstream's naming conventions; models override where theirs differ."""

    _input_embed_layer = "embed_tokens"

    def _embedding_owner(self) -> Any:
        """The layer that has the attribute `_input_embed_layer`, or a model to ask instead."""
        name = self._input_embed_layer
        for owner in self._candidates():
            if owner is not None and owns(owner, name):
                return owner
        language_model = getattr(self, "language_model", None)
        for inner in (language_model, self.base_model):
            if inner is not None and inner is not self and hasattr(inner, "get_input_embeddings"):
                return inner
        raise NotImplementedError(
            explain(
                f"an attribute {name} in {type(self).__name__}, its embeddings or its base model",
                "none of them",
                f"define get_input_embeddings and set_input_embeddings in {type(self).__name__}",
            )
        )

    def _candidates(self) -> Iterator[Any]:
        yield self
        yield getattr(self, "embeddings", None)
        yield getattr(self, "model", None)

    def get_input_embeddings(self) -> Any:
        """The layer that maps ids to vectors (or patches, in vision models)."""
        owner = self._embedding_owner()
        if owns(owner, self._input_embed_layer):
            return getattr(owner, self._input_embed_layer)
        return owner.get_input_embeddings()

    def set_input_embeddings(self, value: Any) -> None:
        """Puts another layer in the place of the input embeddings.

        Args:
            value: The new layer.
        """
        owner = self._embedding_owner()
        if owns(owner, self._input_embed_layer):
            setattr(owner, self._input_embed_layer, value)
        else:
            owner.set_input_embeddings(value)

    def get_output_embeddings(self) -> Any:
        """The layer that maps hidden states to the vocabulary, None where there is none."""
        if not hasattr(self, "lm_head"):
            return None
        try:
            self.get_input_embeddings()
        except NotImplementedError:
            return None
        return self.lm_head

    def set_output_embeddings(self, new_embeddings: Any) -> None:
        """Puts another layer in the place of the language-model head.

        Args:
            new_embeddings: The new layer.
        """
        if getattr(self, "lm_head", None) is not None:
            self.lm_head = new_embeddings

    def get_encoder(self, modality: str | None = None) -> Any:
        """The encoder, or the model itself where it has none.

        Args:
            modality: None for text, or "image", "video", "audio".
        """
        if modality not in _ENCODERS:
            raise ValueError(
                explain(
                    'modality None, "image", "video" or "audio"',
                    f"modality={modality!r}",
                    'get_encoder(modality="image")',
                )
            )
        for name in _ENCODERS[modality]:
            if hasattr(self, name):
                return getattr(self, name)
        base = self.base_model
        if base is not self and hasattr(base, "get_encoder"):
            found = base.get_encoder(modality=modality)
            if found is not base:
                return found
        return self

    def get_decoder(self) -> Any:
        """The decoder, or the model itself where it is one."""
        for name in _DECODERS:
            if hasattr(self, name):
                return getattr(self, name)
        base = self.base_model
        if base is not self and hasattr(base, "get_decoder"):
            return base.get_decoder()
        return self

    def set_encoder(self, encoder: Any, modality: str | None = None) -> None:
        """Puts another encoder in the place that `get_encoder` reads.

        Args:
            encoder: The new encoder.
            modality: As in `get_encoder`.
        """
        self._set_first(_ENCODERS[modality], encoder, "set_encoder", modality=modality)

    def set_decoder(self, decoder: Any) -> None:
        """Puts another decoder in the place that `get_decoder` reads.

        Args:
            decoder: The new decoder.
        """
        self._set_first(_DECODERS[:3], decoder, "set_decoder")

    def _set_first(self, names: tuple[str, ...], value: Any, method: str, **kwargs: Any) -> None:
        for name in names:
            if hasattr(self, name):
                setattr(self, name, value)
                return
        base = self.base_model
        if base is not self and hasattr(base, method):
            getattr(base, method)(value, **kwargs)
        elif base is not self:
            self.model = value
