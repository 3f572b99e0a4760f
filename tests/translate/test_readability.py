"""Ports of the proved model types read well: short, commented, few helpers, nothing refused."""

from __future__ import annotations

import io
import tokenize
from pathlib import Path

import pytest

from keraform import support
from keraform.translate import Translation, digest_of, translation
from keraform.translate.comments import comments_of
from keraform.translate.source import read_module, transformers_version

TYPES = (
    "bert albert distilbert roberta electra gpt2 llama mistral qwen3 t5 bart whisper vit clip "
    "convnext wav2vec2 mamba deberta_v2 swin detr mixtral"
).split()
PUBLISHED, INSTALLED = support.table()["transformers"], transformers_version()
of_the_published_release = pytest.mark.skipif(
    PUBLISHED != INSTALLED,
    reason=f"what is published is of the ports of transformers {PUBLISHED}; installed is "
    f"{INSTALLED}",
)
LINES_RATIO = 1.2
HELPER_SHARE = 0.05
LONGEST_LINE = 140

# Comments that go with the code around them: type -> why, and how the comments begin.
GONE: dict[str, tuple[str, tuple[str, ...]]] = {
    "bart": (
        "a branch for eager runs alone, where `is_torchdynamo_compiling()` is false",
        ("# required mask seq length can be calculated",),
    ),
    "mamba": (
        "a condition that is false in a port: compiling, and not exporting",
        ("# There is no onnx translation for this op",),
    ),
    "wav2vec2": (
        "load_adapter reads files of torch, and tie_weights, which calls it, leaves at once",
        (
            "# Note that `tie_weights` is usually used to tie input and output embedding weights.",
            "# correctly load adapter layers for Wav2Vec2 so that we do not have to",
            "# [`PreTrainedModel`]. While slightly hacky, Wav2Vec2 never has to tie",
            "# ok to repurpose this function here.",
            "# 1. Let's first try loading a safetensors adapter",
            "# Raise any environment error raise by `cached_file`",
            "# to the original exception.",
            "# For any other exception, we throw a generic error.",
            "# 2. If this didn't work let's try loading a PyTorch adapter",
            "# make sure now vocab size is correct",
            "# make sure that adapter weights are put in exactly the same",
            "# set target language correctly",
        ),
    ),
}


def module_of(model_type: str) -> str:
    return f"transformers.models.{model_type}.modeling_{model_type}"


@pytest.fixture(scope="module")
def ports() -> dict[str, Translation]:
    return {each: translation(module_of(each)) for each in TYPES}


def code_lines(text: str) -> dict[int, int]:
    """The length of each line, where neither a string nor a comment makes it long."""
    lengths = {n: len(line) for n, line in enumerate(text.split("\n"), 1)}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        name = tokenize.tok_name[token.type]
        if name in ("STRING", "COMMENT") or name.startswith("FSTRING"):
            for number in range(token.start[0], token.end[0] + 1):
                lengths.pop(number, None)
    return lengths


@pytest.mark.parametrize("model_type", TYPES)
def test_nothing_is_refused(ports: dict[str, Translation], model_type: str) -> None:
    assert ports[model_type].refusals == []


@pytest.mark.parametrize("model_type", TYPES)
def test_ports_are_about_as_long_as_their_source(
    ports: dict[str, Translation], model_type: str
) -> None:
    assert ports[model_type].stats.ratio <= LINES_RATIO


@pytest.mark.parametrize("model_type", TYPES)
def test_every_comment_is_kept(ports: dict[str, Translation], model_type: str) -> None:
    before = comments_of(read_module(module_of(model_type)).text)
    lost = sorted((before - comments_of(ports[model_type].code)).elements())
    stats = ports[model_type].stats
    assert stats.comments == before.total()
    assert stats.comments_kept == before.total() - len(lost)
    known = GONE.get(model_type, ("", ()))[1]
    assert [comment for comment in lost if not comment.startswith(known or ("\0",))] == []
    unused = [k for k in known if not any(comment.startswith(k) for comment in lost)]
    assert unused == [], "these comments are kept now: take them off the list"


@pytest.mark.parametrize("model_type", TYPES)
def test_ports_compile_and_have_no_long_lines(
    ports: dict[str, Translation], model_type: str
) -> None:
    code = ports[model_type].code
    compile(code, f"{model_type}.py", "exec")
    long = {n: length for n, length in code_lines(code).items() if length > LONGEST_LINE}
    assert long == {}


@pytest.mark.parametrize("model_type", TYPES)
def test_no_assignment_of_a_name_to_itself(ports: dict[str, Translation], model_type: str) -> None:
    lines = [line.strip() for line in ports[model_type].code.split("\n")]
    assert [x for x in lines if x.count(" = ") == 1 and len(set(x.split(" = "))) == 1] == []


def test_few_operations_go_through_a_helper(ports: dict[str, Translation]) -> None:
    calls = sum(port.stats.helper_calls for port in ports.values())
    operations = sum(port.stats.operations for port in ports.values())
    assert operations > 2000
    assert calls / operations <= HELPER_SHARE


def test_helpers_are_counted_as_they_stand_in_the_code(ports: dict[str, Translation]) -> None:
    for model_type, port in ports.items():
        assert port.code.count("kf.dynamic.") <= port.stats.helper_calls, model_type
        assert sum(port.stats.helper_reasons.values()) == port.stats.helper_calls


@of_the_published_release
def test_the_support_table_is_of_these_ports(ports: dict[str, Translation]) -> None:
    hashes = {row["hash"] for row in support.classes().values()}
    stale = [name for name, port in ports.items() if digest_of(port.code) not in hashes]
    assert stale == [], "their ports have changed since the ladder was computed: make support"


@of_the_published_release
def test_the_published_numbers_are_these(ports: dict[str, Translation]) -> None:
    stats = [port.stats for port in ports.values()]
    calls, operations = sum(s.helper_calls for s in stats), sum(s.operations for s in stats)
    kept, comments = sum(s.comments_kept for s in stats), sum(s.comments for s in stats)
    refused = sum(len(port.refusals) for port in ports.values())
    said = (
        f"Over the {len(ports)} proved types of transformers {PUBLISHED}: "
        f"{calls / operations:.1%} helper calls ({calls} of {operations} operations), "
        f"ratios from {min(s.ratio for s in stats):.2f} to {max(s.ratio for s in stats):.2f}, "
        f"{kept} of {comments} comments kept (the others go with code that a port does not have), "
        f"{refused} refused."
    ).replace("%", " %")
    page = Path(__file__).parents[2].joinpath("docs", "porting.md").read_text("utf-8")
    assert said in " ".join(page.split())
