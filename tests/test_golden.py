"""The golden models: regenerating their ports changes nothing."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

MODELS = ("encoder", "decoder", "convnet")

# Each model's class, and the end of its configuration's name (a port adds a prefix).
CLASSES: dict[str, tuple[str, str]] = {
    "encoder": ("EncoderForSequenceClassification", "EncoderConfig"),
    "decoder": ("DecoderForCausalLM", "DecoderConfig"),
    "convnet": ("ConvNetForImageClassification", "ConvNetConfig"),
}


@pytest.fixture(scope="module")
def regenerate(repository: Path) -> ModuleType:
    path = repository / "tests" / "golden" / "regenerate.py"
    spec = importlib.util.spec_from_file_location("keraform_golden_regenerate", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", MODELS)
def test_regenerating_is_a_no_op(repository: Path, regenerate: ModuleType, name: str) -> None:
    path = repository / "tests" / "golden" / name / "port.py"
    assert path.exists(), f"expected: {path.name}\ngot: nothing\ntry: make golden"
    assert regenerate.port_of(name) == path.read_text("utf-8"), "try: make golden"


@pytest.mark.parametrize("name", MODELS)
def test_ports_are_short_and_keep_all_comments(
    repository: Path, regenerate: ModuleType, name: str
) -> None:
    from keraform.translate import translate_source

    source = (repository / "tests" / "golden" / name / "torch_model.py").read_text("utf-8")
    stats = translate_source(source, filename=f"{name}/torch_model.py").stats
    assert stats.comments_kept == stats.comments
    assert stats.lines - stats.doc_lines <= 1.2 * stats.source_lines


@pytest.mark.parametrize("name", MODELS)
def test_ports_equal_torch(repository: Path, name: str) -> None:
    from keraform.verify.ladder import climb
    from keraform.verify.targets import Target

    class_name, config = CLASSES[name]
    # the expression is read in the names of the torch file and in those of the port
    expression = f"next(v for k, v in globals().items() if k.endswith({config!r}))()"
    golden = repository / "tests" / "golden"
    target = Target(
        str(golden / name / "torch_model.py"),
        (class_name,),
        {"config": expression},
        f"{golden / 'inputs.py'}:{name}",
    )
    (report,) = climb(target, range(1, 7)).classes
    assert {rung: report.rungs[rung] for rung in range(1, 7)} == dict.fromkeys(range(1, 7), "pass")
