"""A tagger: embeddings, a bidirectional LSTM, a GRU, torch's own attention."""

import numpy as np
from torch import nn


class Tagger(nn.Module):
    def __init__(self, vocab=23, width=8, hidden=6, tags=4):
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        self.lstm = nn.LSTM(width, hidden, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(2 * hidden, 2 * hidden, batch_first=True)
        self.attention = nn.MultiheadAttention(2 * hidden, 3, batch_first=True)
        self.norm = nn.LayerNorm(2 * hidden)
        self.classifier = nn.Linear(2 * hidden, tags)

    def forward(self, words):
        x, _ = self.lstm(self.embedding(words))
        x, _ = self.gru(x)
        attended, _ = self.attention(x, x, x, need_weights=False)
        return self.classifier(self.norm(x + attended))


def make_inputs():
    return {"words": np.random.default_rng(0).integers(0, 23, (3, 7))}
