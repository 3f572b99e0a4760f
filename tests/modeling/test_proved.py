"""What loading says of a class whose file nobody has proved, and that a proof outlives a banner."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import transformers

from keraform import support
from keraform.modeling import proved
from keraform.translate import cache, digest_of
from keraform.translate.ports import banner
from keraform.translate.source import Source

NAME = "keraform.models.mini.modeling_mini"
UPSTREAM = "transformers.models.mini.modeling_mini"
CODE = f"# Licence\n{cache.MARK}\nclass TFMini:\n    pass\n"


def sealed(version: str, code: str = CODE) -> str:
    source = Source(UPSTREAM, "transformers/models/mini/modeling_mini.py", version, version)
    return cache.seal(code, banner(source))


@pytest.fixture
def mini(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type:
    """A class of a port that the installed release gave."""
    path = tmp_path / "modeling_mini.py"
    path.write_text(sealed(f"transformers {transformers.__version__}"), "utf-8")
    module = ModuleType(NAME)
    module.__file__ = str(path)
    monkeypatch.setitem(sys.modules, NAME, module)
    monkeypatch.setattr(proved, "_SAID", set())
    return type("TFMini", (), {"__module__": NAME})


def publish(
    monkeypatch: pytest.MonkeyPatch,
    release: str,
    text: str | None,
    changed: dict[str, str] | None = None,
) -> None:
    """Lets the support table be one that holds the digest of a file, or of none, and its rungs."""
    rungs = {str(rung): "pass" for rung in range(1, 6)} | (changed or {})
    row = {"hash": digest_of(text or ""), "rung": 3 if changed else 5, "rungs": rungs}
    types = {} if text is None else {"mini": {"source": UPSTREAM, "classes": {"TFMini": row}}}
    monkeypatch.setattr(support, "table", lambda: {"transformers": release, "types": types})
    monkeypatch.setattr(support, "classes", support.classes.__wrapped__)


def test_the_digest_is_of_the_code_and_not_of_the_banner():
    one, other = sealed("transformers 1.2.3"), sealed("transformers 4.5.6")
    assert one != other and digest_of(one) == digest_of(other)
    assert digest_of(sealed("transformers 1.2.3", CODE + "\n")) != digest_of(one)


def test_a_file_that_a_release_left_as_it_was_stays_proved(mini, monkeypatch):
    publish(monkeypatch, "1.2.3", sealed("transformers 1.2.3"))
    assert proved.why_unproved(mini) is None


def test_a_class_whose_proof_failed_says_where(mini, monkeypatch):
    failed = {"4": "fail: float64: 2 stages differ"}
    publish(monkeypatch, "1.2.3", sealed("transformers 1.2.3"), failed)
    assert proved.why_unproved(mini) == "rung 4 fail: float64: 2 stages differ"


@pytest.mark.parametrize(
    ("release", "text", "reason"),
    [
        (
            "1.2.3",
            sealed("transformers 1.2.3", CODE + "\n"),
            "it was proved with transformers 1.2.3, and the installed "
            f"{transformers.__version__} gives another file",
        ),
        (
            transformers.__version__,
            sealed("", CODE + "\n"),
            "the file that was proved is another than the one generated now",
        ),
        ("1.2.3", None, "no proof of it is published"),
    ],
)
def test_the_warning_says_why_and_what_to_do(mini, monkeypatch, release, text, reason):
    publish(monkeypatch, release, text)
    said = []
    monkeypatch.setattr(proved.logger, "warning", said.append)
    for _ in range(2):  # once is enough
        proved.warn_when_unproved(mini)
    assert said == [
        f"TFMini is not yet proved equal to its PyTorch original: {reason}; "
        "`keraform verify mini --class TFMini` tells more (needs torch)."
    ]
