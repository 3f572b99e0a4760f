"""What stands on the hand-written networks in training: logits of classes, or of the next token."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops


class Classifier(keras.Model):
    """Logits of classes, [b, v], from the pooled output, or from the first hidden state."""

    def __init__(self, body: Any, prefix: str, classes: int, pooled: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.body, self.prefix, self.pooled = body, prefix, pooled
        self.classifier = layers.Dense(classes)

    def call(self, inputs: dict[str, Any]) -> Any:
        hidden, first = self.body(inputs)
        return self.classifier(first if self.pooled else hidden[:, 0])

    def torch_layers(self) -> dict[str, layers.Layer]:
        """Every layer with weights under torch's path; the last one is the head."""
        found = {f"{self.prefix}.{path}": layer for path, layer in self.body.torch_layers().items()}
        return {**found, "classifier": self.classifier}

    def torch_variables(self) -> dict[str, keras.Variable]:
        """Weights that no layer owns."""
        found = self.body.torch_variables().items()
        return {f"{self.prefix}.{key}": variable for key, variable in found}


class LanguageModel(keras.Model):
    """Logits of the next token, [b, q - 1, v], by the embeddings of the words."""

    def __init__(self, body: Any, prefix: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.body, self.prefix = body, prefix

    def call(self, inputs: dict[str, Any]) -> Any:
        hidden = self.body(inputs)[:, :-1]
        return ops.matmul(hidden, ops.transpose(self.body.words.embeddings))

    def torch_layers(self) -> dict[str, layers.Layer]:
        """Every layer with weights under torch's path."""
        return {f"{self.prefix}.{path}": layer for path, layer in self.body.torch_layers().items()}

    def torch_variables(self) -> dict[str, keras.Variable]:
        """Weights that no layer owns: none."""
        return {}
