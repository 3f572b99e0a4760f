"""The demo of text classification answers on a port of its own, and stops."""

from __future__ import annotations

import gc
import importlib
import socket
from collections.abc import Iterator

import pytest


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def collected() -> Iterator[None]:
    """Gradio leaves event loops open; they are collected while their test may still warn."""
    yield
    gc.collect()


@pytest.mark.filterwarnings("ignore")
def test_demo_answers(monkeypatch: pytest.MonkeyPatch, collected: None) -> None:
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    client = importlib.import_module("gradio_client")
    example = importlib.import_module("text_classification")
    model, tokenizer, *_ = example.prepare(short=True)
    page = example.demo(model, tokenizer)
    port = free_port()
    page.launch(server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, quiet=True)
    try:
        asked = client.Client(f"http://127.0.0.1:{port}/", verbose=False)
        answer = asked.predict("Bitte einen Wert eingeben.", api_name="/classify")
    finally:
        page.close()
    shares = {each["label"]: each["confidence"] for each in answer["confidences"]}
    assert set(shares) <= set(example.LANGUAGES.values()) and len(shares) == 3
    assert answer["label"] == max(shares, key=shares.get)
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        pass
