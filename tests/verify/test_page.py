"""The page of `--report`: what it says, that nothing in it runs or is fetched, how it looks."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.verify.made_up import (
    KERAS,
    equal_report,
    guilty_report,
    hostile_report,
    stage_errors,
)

from keraform.verify.findings import CONSTRUCTION, STAGE, WEIGHTS, Finding, Localisation, Place
from keraform.verify.outcome import PASS, ClassReport, Report, StageError
from keraform.verify.page import render
from keraform.verify.page.growth import landmarks
from keraform.verify.page.heat import COLUMNS, HEAT, Limits, heat, words, worst
from keraform.verify.page.listing import colour, enclosing, listing
from keraform.verify.page.tree import Row, marks_of, rows_of
from keraform.verify.port import LoadReport

VOID = {"meta", "link", "br", "hr", "img", "input", "use"}
HOSTILE = '<script>alert("x")</script> & "q" \' --> {{ 1 + 1 }} $\\frac{1}$ ]]> <img src=x>'


class Page(HTMLParser):
    """Reads a page, and checks that every element is closed in its turn and every id is unique."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []
        ids = [values["id"] for _, values in self.elements if "id" in values]
        assert len(ids) == len(set(ids))
        self.ids = set(ids)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r" ([.,;:)])", r"\1", " ".join(" ".join(self.words).split()))

    def count(self, tag: str, **wanted: str) -> int:
        return sum(
            name == tag and all(values.get(key) == value for key, value in wanted.items())
            for name, values in self.elements
        )


def flat(rows: tuple[Row, ...]) -> list[Row]:
    return [each for row in rows for each in (row, *flat(row.children))]


def tree(stages: dict[str, StageError], marks: dict[str, str] | None = None) -> tuple[Row, ...]:
    limits = Limits("TFMini")
    return rows_of(stages, marks_of(stages, [], limits) if marks is None else marks, limits)


# the whole page


def test_an_equal_class() -> None:
    page = Page(render(equal_report(), command="keraform verify mini --report out.html"))
    assert "TFMini equals torch’s Mini: all 19 stages and outputs agree, to" in page.text
    assert "keraform verify mini --report out.html" in page.text
    assert "Every weight of the twin is used" in page.text
    assert "Rung 10 speaks: not applicable, it does not generate (TFMini)" in page.text
    assert "transformers 5.0" in page.text and "tensorflow" in page.text
    assert page.count("article") == 0
    assert page.count("svg") == 1


def test_a_finding_shows_both_sources_and_their_values(tmp_path: Path) -> None:
    report, located = guilty_report(tmp_path)
    page = Page(render(report, located))
    assert (
        "TFMini differs from torch’s Mini first at stage encoder.layer.1.attention.self: the "
        "statement in line 8 of keras_mini.py; likely cause: a missing scale: the port's values "
        "are torch's times 0.25."
    ) in page.text
    assert "MiniAttention.forward" in page.text and "TFMiniAttention.call" in page.text
    assert page.count("span", **{"class": "line guilty"}) == 2
    assert "methods.truediv" in page.text
    assert "float64 2 × 7 × 7 0.113 1.25 -2.5 3.75 0" in page.text
    assert page.count("td", **{"class": "unequal"}) == 6  # rms, smallest, largest of both
    assert page.count("a", href="#c1-finding-1") == 1
    assert "torch.qr torch_mini.py:3 no rule covers it" in page.text
    assert "Rung 4 exact: fail, float64: 9 stages differ" in page.text


@pytest.mark.parametrize(
    ("finding", "said"),
    [
        (Finding(WEIGHTS, "a.b", "float64", 1.0), "first at stage a.b: a weight has other values."),
        (
            Finding(CONSTRUCTION, "a", "float32", 1.0, keras=Place("/x/m.py", 7, "self.n = N()")),
            "first at stage a: the layer is made with other arguments in line 7 of m.py.",
        ),
        (Finding(STAGE, "", "float16", math.inf, problem="shape 2, torch has 3"),
         "first at the model’s own code: no statement could be named."),
    ],
)  # fmt: skip
def test_verdicts_of_findings(finding: Finding, said: str) -> None:
    located = Localisation("TFMini", stage_errors(1), findings=[finding])
    page = Page(render(Report("mini", "5.0", "jax"), [located]))
    assert f"TFMini differs from torch’s Mini {said}" in page.text
    assert (finding.problem or "") in page.text


def test_without_findings_the_first_stage_beyond_its_limit_is_named() -> None:
    report = equal_report()
    report.classes[0].stages = stage_errors(2, "encoder.layer.1.mlp")
    for stage in report.classes[0].stages.values():
        stage.isolated = None
    text = Page(render(report)).text
    assert "first at stage encoder.layer.1.mlp (float64 error 2." in text
    assert "first beyond its limit" in text


def test_a_failure_that_is_no_difference_in_values() -> None:
    report = equal_report()
    report.classes[0].rungs[8] = "fail: read back here: a.b is gone"
    text = Page(render(report)).text
    assert (
        "TFMini: its values equal those of torch’s Mini, but rung 8 (kept) fails: read back here: "
        "a.b is gone."
    ) in text


def test_a_crash_while_comparing_is_not_called_equal() -> None:
    report = equal_report()
    report.classes[0].rungs[4] = "fail: ValueError: odd"
    text = Page(render(report)).text
    assert "TFMini: rung 4 (exact) fails: ValueError: odd." in text
    assert "equal" not in text


def test_nothing_compared() -> None:
    entry = ClassReport("Net")
    entry.rungs.update({1: PASS, 2: PASS})
    text = Page(render(Report("net.py", "5.0", "tensorflow", [entry]))).text
    assert "Keras’s Net: no values were compared with those of torch’s Net; nothing failed" in text
    assert "No stage was compared in this run" in text
    assert "Not looked at in this run; rung 3 does." in text
    assert "Nothing was compared in x." in Page(render(Report("x", "5", "jax"))).text


def test_several_classes() -> None:
    report = equal_report()
    report.classes += [equal_report(name=f"TFMiniFor{name}").classes[0] for name in ("A", "B")]
    assert "All 3 classes of mini equal torch’s." in Page(render(report)).text
    report.classes[1].rungs[3] = "fail: 1 missing: classifier.bias"
    report.classes[1].stages = {}
    page = Page(render(report))
    assert "1 of 3 classes of mini fails: TFMiniForA." in page.text
    assert "Rung 3 says: fail: 1 missing: classifier.bias." in page.text
    # a reason that several share stands once
    assert page.text.count("it does not generate") == 1
    assert {"c1", "c2", "c3"} <= page.ids
    opened = [values["id"] for _, values in page.elements if "open" in values and "id" in values]
    assert opened == ["c2"]


def test_a_localised_class_that_no_rung_was_run_of() -> None:
    report = Report("mini", "5.0", "tensorflow")
    text = Page(render(report, [Localisation("TFMini", stage_errors(1))])).text
    assert "TFMini equals torch’s Mini" in text


def test_weights_that_do_not_fit() -> None:
    weights = LoadReport(("a.weight",), ("b.weight", "c.weight"), ("d.bias",))
    located = Localisation("TFMini", stage_errors(1), weights)
    text = Page(render(equal_report(), [located])).text
    assert "1 missing: the port has them, torch does not a.weight" in text
    assert "2 unexpected: torch has them, the port has no place for them b.weight c.weight" in text
    assert "1 mismatched: of another shape or with other values d.bias" in text
    assert "Every weight" not in text


def test_hostile_names_stay_text() -> None:
    report, located = hostile_report(HOSTILE)
    plain = Page(render(equal_report()))
    page = Page(render(report, located, command=HOSTILE))
    assert page.count("script") == plain.count("script") == 1
    assert page.count("img") == 0
    assert page.text.count(" ".join(HOSTILE.split())) > 20


def test_hostile_names_in_the_plot() -> None:
    name = HOSTILE.replace("/", "")
    report = equal_report()
    report.classes[0].stages = {name: StageError(name, 1.0, 1.0, 0.0, 1.0)}
    page = Page(render(report))
    assert page.count("svg") == 1
    assert page.count("script") == 1 and page.count("img") == 0


def test_errors_without_a_number() -> None:
    report = equal_report()
    stages = report.classes[0].stages
    stages["pooler"].float64, stages["pooler"].float32 = math.inf, math.nan
    page = Page(render(report))
    assert "▲ ∞" in page.text and "▲ NaN" in page.text
    assert "first at stage pooler (float64 error ∞, limit 1.0e-09)" in page.text


def test_nothing_is_fetched(tmp_path: Path) -> None:
    page = render(*guilty_report(tmp_path))
    assert "://" not in page
    assert "default-src 'none'" in page
    assert "@import" not in page and "@font-face" not in page
    assert set(re.findall(r"url\((.)", page)) <= {"#"}
    for _, values in Page(page).elements:
        for name, value in values.items():
            if name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
                assert value.startswith("#"), (name, value)


def test_links_inside_the_page_lead_somewhere(tmp_path: Path) -> None:
    page = Page(render(*guilty_report(tmp_path)))
    links = {values["href"][1:] for tag, values in page.elements if tag == "a"}
    assert links and links <= page.ids


def test_a_big_model_is_folded_up_to_what_is_guilty(tmp_path: Path) -> None:
    guilty = "encoder.layer.70.attention.self"
    report, located = guilty_report(tmp_path, layers=140, at=guilty)
    text = render(report, located)
    assert len(located[0].stages) > 800 and len(text) < 1_000_000
    rows = flat(tree(located[0].stages))
    opened = [row.label for row in rows if row.open]
    assert opened == ["encoder", "layer", "70", "attention"]
    assert [row.label for row in rows if row.mark] == ["self"]


def test_numbers_do_not_break_at_their_hyphen() -> None:
    assert '<span class="nowrap">1.0e-09</span>' in render(equal_report())


# its parts


def test_heat_is_relative_to_the_limit() -> None:
    limit = 1e-9
    levels = [heat(error, limit) for error in (0.0, 1e-14, 1e-12, 1e-9, 1e-8, 1e-6, 1.0)]
    assert levels == list(range(len(HEAT)))
    assert heat(math.inf, limit) == heat(math.nan, limit) == len(HEAT) - 1
    assert heat(None, limit) is None


def test_numbers_in_words() -> None:
    assert [words(each) for each in (None, 0.0, 1.24e-9, math.inf, math.nan)] == [
        "–", "0", "1.2e-09", "∞", "NaN",
    ]  # fmt: skip


def test_the_worst_stage_has_no_number() -> None:
    stages = [StageError("a", 5.0), StageError("b", math.nan), StageError("c")]
    assert worst(stages, COLUMNS[1]) is stages[1]
    assert worst(stages, COLUMNS[2]) is None


def test_trained_weights_may_be_off_by_torchs_noise() -> None:
    stage = StageError("a", float32=1.5e-4, noise=1e-4)
    assert Limits("TFMini").exceeded(stage) is COLUMNS[2]
    assert Limits("TFMini", trained=True).exceeded(stage) is None
    stage.float32 = math.nan
    assert Limits("TFMini", trained=True).exceeded(stage) is COLUMNS[2]


def test_torchs_own_noise_is_nobodys_fault() -> None:
    assert Limits("TFMini").exceeded(StageError("a", noise=1.0)) is None


def test_the_tree_follows_paths_and_the_order_of_the_run() -> None:
    rows = tree(stage_errors(2))
    assert [row.label for row in rows] == [
        "embeddings",
        "encoder",
        "pooler",
        "pooler#2",
        "outputs/",
    ]
    layer = rows[1].children[0]
    assert (layer.label, layer.gathered, layer.number) == ("layer", True, None)
    assert [row.label for row in layer.children] == ["0", "1"]
    assert [row.label for row in layer.children[0].children] == ["attention", "mlp"]
    assert [row.number for row in rows] == [2, 15, 16, 17, None]
    assert not any(row.open or row.mark for row in flat(rows))


def test_a_container_shows_the_largest_error_below_it() -> None:
    rows = tree({"a.0": StageError("a.0", 1e-3), "a.1": StageError("a.1", 1e-12)})
    assert [cell.text for cell in rows[0].cells] == ["–", "1.0e-03", "–", "–"]
    assert rows[0].cells[1].beyond and rows[0].beyond == 1


def test_the_model_itself_has_a_line_where_it_is_guilty() -> None:
    rows = tree({"a": StageError("a", 0.0)}, {"": "finding 1"})
    assert [(row.label, row.mark) for row in rows] == [("the model itself", "finding 1"), ("a", "")]


def test_a_guilty_stage_that_was_not_compared_has_a_line() -> None:
    rows = tree({"a": StageError("a", 0.0)}, {"b.c": "finding 1"})
    assert rows[1].open and rows[1].children[0].mark == "finding 1"
    assert [cell.text for cell in rows[1].cells] == ["–"] * 4


def test_a_stage_wrong_on_its_own_is_marked_before_what_follows_from_it() -> None:
    stages = stage_errors(2, "encoder.layer.0.mlp")
    assert marks_of(stages, [], Limits("TFMini")) == {"encoder.layer.0.mlp": "wrong on its own"}


def test_a_listing_has_lines_around_the_statement(tmp_path: Path) -> None:
    file = tmp_path / "long.py"
    lines = [f"x{number} = {number}" for number in range(1, 40)]
    lines[19:21] = ["y = f(", "    1)"]
    file.write_text("\n".join(lines), "utf-8")
    found = listing(Place(str(file), 20, "y = f(\n    1)"))
    assert [line.number for line in found.lines] == list(range(14, 28))
    assert [line.number for line in found.lines if line.guilty] == [20, 21]


@pytest.mark.parametrize("text", [None, "other = 1\nthings = 2\n"])
def test_a_statement_alone_where_its_file_is_gone_or_changed(
    tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "gone.py"
    if text is not None:
        file.write_text(text, "utf-8")
    found = listing(Place(str(file), 2, "y = f(\n    1)"))
    assert [(line.number, line.guilty) for line in found.lines] == [(2, True), (3, True)]
    assert "".join(piece for _, piece in found.lines[0].pieces) == "y = f("


def test_colours_keep_every_character() -> None:
    lines = colour(KERAS)
    assert "\n".join("".join(text for _, text in line) for line in lines) == KERAS
    assert ("k", "class") in lines[0] and ("f", "TFMiniAttention") in lines[0]


def test_the_definition_around_a_line() -> None:
    assert enclosing(KERAS, 8) == "TFMiniAttention.call"
    assert enclosing(KERAS, 1) == "TFMiniAttention"
    assert enclosing("def broken(", 1) == ""


def test_landmarks_name_layers_and_leave_room() -> None:
    names = [name for name in stage_errors(40) if "/" not in name]
    places = landmarks(names)
    assert 8 <= len(places) <= 15
    assert places[1] == "embeddings" and "encoder.layer.0" not in places.values()
    assert all(places[place] in ("embeddings", "pooler") or ".layer." in places[place]
               for place in places)  # fmt: skip


# colours


def colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


def contrast(one: str, other: str) -> float:
    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_can_be_read_in_both_themes(repository: Path) -> None:
    """WCAG AA, 4.5 to 1."""
    css = (repository / "src/keraform/verify/page/report.css").read_text("utf-8")
    blocks = [colours(block) for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)]
    assert len(blocks) == 2 and blocks[0].keys() == blocks[1].keys()
    for theme in blocks:
        pairs = [(f"h{i}-ink", f"h{i}") for i in range(len(HEAT))]
        pairs += [(word, f"{word}-paper") for word in ("good", "bad", "open")]
        pairs += [(ink, paper) for ink in ("ink", "faint", "link") for paper in ("paper", "card")]
        code = ("keyword", "string", "comment", "digits", "definition", "ink")
        pairs += [(ink, paper) for ink in code for paper in ("paper", "bad-paper")]
        pairs += [(line, "paper") for line in ("float64", "isolated", "float32", "noise")]
        for ink, paper in pairs:
            assert contrast(theme[ink], theme[paper]) >= 4.5, (ink, paper)


# in a browser

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()


def chromium(page: Path, *flags: str) -> str:
    profile = f"--user-data-dir={page.parent / 'profile'}"
    command = [str(CHROMIUM), *FLAGS, profile, *flags, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [1400, 700])
def test_a_screenshot(tmp_path: Path, width: int) -> None:
    """It is drawn, nothing sticks out to the right, and the heat's colours are there."""
    from PIL import Image

    file = tmp_path / "page.html"
    measure = (
        "<script>document.title = document.documentElement.scrollWidth + ' of ' + "
        "document.documentElement.clientWidth</script></body>"
    )
    text = render(*guilty_report(tmp_path))
    file.write_text(text.replace("</body>", measure), "utf-8")
    size = f"--window-size={width},3000"
    wide, window = map(
        int, re.findall(r"<title>(\d+) of (\d+)", chromium(file, size, "--dump-dom"))[0]
    )
    assert wide <= window
    picture = tmp_path / "page.png"
    chromium(file, size, f"--screenshot={picture}")
    image = Image.open(picture).convert("RGB")
    assert image.size == (width, 3000)
    seen = {colour for _, colour in image.getcolors(1 << 24) or []}
    css = colours(text[text.index(":root") : text.index("@media")])
    for name in ("h1", "h3", "h5", "h6", "bad-paper"):
        assert tuple(bytes.fromhex(css[name][1:])) in seen, name


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_finding_a_stage_opens_its_branches_only(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    act = (
        "<script>const box = document.querySelector('.tools input'); box.value = 'layer.1.mlp';"
        "box.dispatchEvent(new Event('input'));</script></body>"
    )
    file.write_text(render(equal_report(4)).replace("</body>", act), "utf-8")
    found = chromium(file, "--dump-dom")
    tree_part = found[found.index('class="tree"') : found.index('class="plot"')]
    assert tree_part.count("<details open") == 3  # encoder, layer, 1
    assert len(re.findall(r"<li(?! hidden)[^>]*>", tree_part)) == 4
