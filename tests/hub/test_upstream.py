"""Whether somebody is at a model already: asked of a server, and of none."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from keraform.cli.app import app
from keraform.hub import PullRequest, open_pull_requests


class GitHub(BaseHTTPRequestHandler):
    """Knows one pull request, and is sometimes out of order."""

    asked: ClassVar[list[str]] = []
    broken = False

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        self.asked.append(parse_qs(address.query)["q"][0])
        found = [{"title": "Add Newmodel", "html_url": "https://example.org/pull/1"}]
        self.send_response(403 if self.broken else 200)
        self.end_headers()
        wanted = address.path == "/search/issues" and "newmodel" in self.asked[-1]
        self.wfile.write(json.dumps({"items": found if wanted else []}).encode())

    def log_message(self, *words: object) -> None:
        """Nothing on standard error."""


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[GitHub]]:
    server = HTTPServer(("127.0.0.1", 0), GitHub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("GITHUB_API_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(GitHub, "asked", [])
    yield GitHub
    server.shutdown()
    server.server_close()


def test_pull_requests_are_found_by_title(github):
    found = open_pull_requests("newmodel")
    assert found == [PullRequest("Add Newmodel", "https://example.org/pull/1")]
    assert open_pull_requests("oldmodel") == []
    query = '"newmodel" in:title is:pr is:open repo:huggingface/transformers'
    assert github.asked[0].startswith(query)


def test_no_answer_is_no_error(github, monkeypatch):
    monkeypatch.setattr(github, "broken", True)
    assert open_pull_requests("newmodel") is None
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:1")
    assert open_pull_requests("newmodel") is None
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert open_pull_requests("newmodel") is None


def test_the_status_of_an_unknown_type_says_who_adds_it(github):
    result = CliRunner().invoke(app, ["status", "newmodel"])
    assert result.exit_code == 2
    assert "'newmodel', which somebody is adding upstream: Add Newmodel" in result.output
