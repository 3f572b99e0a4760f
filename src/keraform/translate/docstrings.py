"""What upstream's `@auto_docstring` would have written, as text for a ported class or call.

Transformers documents its models by a decorator that merges tables of arguments into hand-written
docstrings when a module is imported. A port has no such decorator: the text is expanded while
translating, from the same tables, and stands in the generated file in Keras's words.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field

from keraform.translate import docstring_tables as tables
from keraform.translate.docstring_examples import example
from keraform.translate.docstring_layout import reflow
from keraform.translate.docstring_words import keras_words, ported_name

# One parameter of a signature: name, annotation and default as source text, None where the source
# has none.
Parameter = tuple[str, str | None, str | None]

# Parameters that no docstring lists.
SILENT = frozenset({"self", "cls", "args", "kwargs", "deprecated_arguments", "return_dict"})

# Parameters that only ports have.
OWN: dict[str, str] = {
    "training": (
        "`bool`, *optional*):\n"
        "    Whether dropout and all that behaves differently in training does so. Keras says it\n"
        "    in `fit`, `evaluate` and `predict`."
    ),
}

INDENT = "    "
_ENTRY = re.compile(r"^(\w+)\s*\((.*?)\)\s*:[ \t]*(.*)$", re.DOTALL)
_ENTRY_NO_COLON = re.compile(r"^(\w+)\s*\((.*)\)\s*$", re.DOTALL)
_ENTRY_START = re.compile(r"^\w+\s*\(")
_SECTION = re.compile(r"^\s*(Args|Arguments|Parameters|Params|Inputs)\s*:\s*$")
_REST = re.compile(r"^\s*(```|>>> |(Returns?|Yields|Raises)\s*:|Examples?\b[^.]*:?\s*$)")
_RETURNS = re.compile(r"^\s*Returns?\s*:")
_EXAMPLE = re.compile(r"^\s*(```|>>> |Examples?\b)")
_NONE_FIRST = re.compile(r"^Optional\[(.*)\]$")


@dataclass
class Documented:
    """A hand-written docstring, taken apart."""

    intro: str = ""
    entries: dict[str, tuple[str, str]] = field(default_factory=dict)  # name: (head, body)
    returns: str = ""
    example: str = ""


def expand_class_docstring(
    class_name: str,
    docstring: str | None = None,
    *,
    base: str | None = None,
    custom_intro: str | None = None,
    config_name: str | None = None,
    model_type: str | None = None,
    parameters: Sequence[Parameter] = (),
    init_docstring: str | None = None,
    custom_args: str | None = None,
) -> str:
    """Writes the docstring of a model class.

    Args:
        class_name: Upstream's name, such as BertForMaskedLM.
        docstring: The class's own docstring, where the source has one; it then stands for the
            table's introduction.
        base: Name of the base class; of `...PreTrainedModel` itself nothing is said about what is
            inherited.
        custom_intro: What the decorator was given as `custom_intro`; it goes before everything
            else.
        config_name: The configuration class, such as BertConfig.
        model_type: The folder under `models/`, such as bert.
        parameters: Parameters of the constructor.
        init_docstring: The constructor's own docstring.
        custom_args: What the decorator was given as `custom_args`.

    Returns:
        The text, without quotes and without indentation.
    """
    name = class_name.removeprefix("TF")
    task, table_intro = tables.class_intro(name)
    title = " ".join(part.title() for part in re.split(r"[-_]", model_type or "")) or name
    intro = inspect.cleandoc(custom_intro or docstring or "")
    if not intro:
        intro = _fill(inspect.cleandoc(table_intro or ""), "model_name", title)
    is_root = task == "PreTrainedModel" or not _is_model(base)
    written = _merge(init_docstring, custom_args)
    rows = parameters or ((("config", config_name, None),) if config_name and not is_root else ())
    blocks = [
        intro,
        "" if is_root else inspect.cleandoc(tables.base_intro()),
        _section("Args", _entries(rows, written, name, config_name)),
        written.example,
    ]
    return _finish(blocks, model_type)


def expand_call_docstring(
    parameters: Sequence[Parameter],
    docstring: str | None = None,
    *,
    class_name: str,
    method: str = "call",
    config_name: str | None = None,
    output_name: str | None = None,
    output_docstring: str | None = None,
    model_type: str | None = None,
    custom_intro: str | None = None,
    custom_args: str | None = None,
    checkpoint: str | None = None,
) -> str:
    """Writes the docstring of a model's `call`, or of another public method.

    Args:
        parameters: Name, annotation and default (source text) of each parameter, in order.
        docstring: The method's own docstring: descriptions that win over the tables, Returns,
            Example.
        class_name: Upstream's name of the class.
        method: The method's name; other methods than `call` get no introduction of their own.
        config_name: The configuration class.
        output_name: The return annotation; the output class in it is described.
        output_docstring: The docstring of that class, when it is defined beside the model.
        model_type: The folder under `models/`.
        custom_intro: What the decorator was given as `custom_intro`.
        custom_args: What the decorator was given as `custom_args`.
        checkpoint: The Hub id for the example; the configuration's by default.

    Returns:
        The text, without quotes and without indentation.
    """
    name = class_name.removeprefix("TF")
    is_call = method in ("call", "forward")
    written = _merge(docstring, custom_args)
    if is_call and all(each[0] != "training" for each in parameters):
        parameters = [*parameters, ("training", None, "None")]  # every public call of a port has it
    intro = inspect.cleandoc(custom_intro) if custom_intro else written.intro
    if not intro and is_call:
        intro = (
            f"Calls [`{ported_name(name)}`] on a batch: tensors in the order of the\n"
            "arguments, a list or a dict of them."
        )
    sample = written.example
    if not sample and is_call:
        sample = example(ported_name(name), checkpoint or tables.checkpoint(model_type))
    blocks = [
        intro,
        _section("Args", _entries(parameters, written, name, config_name)),
        written.returns or _returns(output_name, output_docstring, config_name),
        sample,
    ]
    return _finish(blocks, model_type)


def expand_output_docstring(
    fields: Sequence[Parameter],
    docstring: str | None = None,
    *,
    class_name: str,
    custom_intro: str | None = None,
    base_docstring: str | None = None,
    model_type: str | None = None,
) -> str:
    """Writes the docstring of an output class.

    Args:
        fields: Name, annotation and default of each field, inherited ones first.
        docstring: The class's own docstring.
        class_name: Upstream's name of the class.
        custom_intro: What the decorator was given as `custom_intro`.
        base_docstring: The docstring of the output class that it extends.
        model_type: The folder under `models/`.

    Returns:
        The text, without quotes and without indentation.
    """
    written = parse_docstring(docstring)
    inherited = parse_docstring(base_docstring)
    names = [each[0] for each in fields]
    inherited_rows = [(each, None, None) for each in inherited.entries if each not in names]
    merged = {**inherited.entries, **written.entries}
    rows = []
    for name, annotation, default in [*inherited_rows, *fields]:
        text = merged.get(name)
        rows.append(_render(name, *text) if text else _output_row(name, annotation, default))
    intro = custom_intro or written.intro or f"What [`{class_name}`] holds."
    return _finish([inspect.cleandoc(intro), _section("Args", rows)], model_type)


def parse_docstring(docstring: str | None) -> Documented:
    """Takes a docstring apart: introduction, described arguments, Returns, Example.

    Args:
        docstring: The text as it stands in the source, or None.

    Returns:
        The parts; arguments may stand under "Args:" or, as upstream likes it, without any heading.
    """
    result = Documented()
    lines = inspect.cleandoc(docstring or "").split("\n")
    split = next((i for i, line in enumerate(lines) if _REST.match(line)), len(lines))
    rest = lines[split:]
    start = next((i for i, line in enumerate(rest) if _EXAMPLE.match(line)), len(rest))
    before = "\n".join(rest[:start])
    if before and _RETURNS.match(before):
        result.returns = textwrap.dedent(before).strip()
    result.example = textwrap.dedent("\n".join(rest[start:])).strip()
    result.intro, result.entries = _parse_entries(lines[:split])
    return result


def _parse_entries(lines: list[str]) -> tuple[str, dict[str, tuple[str, str]]]:
    heading = next((i for i, line in enumerate(lines) if _SECTION.match(line)), None)
    intro: list[str] = []
    if heading is not None:
        intro = lines[:heading]
        lines = textwrap.dedent("\n".join(lines[heading + 1 :])).split("\n")
    entries: dict[str, tuple[str, str]] = {}
    body: list[str] | None = None
    index = 0
    while index < len(lines):
        head, taken = _read_head(lines, index)
        if head is not None:
            name, kind, inline = head
            body = [f"{INDENT}{inline}"] if inline else []
            entries[name] = (kind, "")
            index += taken
            while index < len(lines) and _read_head(lines, index)[0] is None:
                body.append(lines[index])
                index += 1
            entries[name] = (kind, _body(body))
            continue
        intro.append(lines[index])
        index += 1
    return "\n".join(intro).strip(), entries


def _read_head(lines: list[str], index: int) -> tuple[tuple[str, str, str] | None, int]:
    """The head of an entry that starts at a line, `name (type, *optional*):`, and how many lines it
    takes.
    """
    if not _ENTRY_START.match(lines[index]):
        return None, 0
    for taken in (1, 2, 3):
        text = " ".join(line.strip() for line in lines[index : index + taken])
        match = _ENTRY.match(text)
        if match:
            name, kind, inline = match.groups()
            if kind.count("(") < kind.count(")"):
                kind = kind.removesuffix(")")
            return (name, kind, inline), taken
        if taken == 1 and (match := _ENTRY_NO_COLON.match(text)) and "`" in text:
            return (match.group(1), match.group(2), ""), 1
    return None, 0


def _body(lines: list[str]) -> str:
    text = textwrap.dedent("\n".join(line for line in lines)).strip("\n")
    return textwrap.dedent(text).strip()


def _merge(docstring: str | None, custom_args: str | None) -> Documented:
    written = parse_docstring(docstring)
    if custom_args:
        written.entries = {**parse_docstring(custom_args).entries, **written.entries}
    return written


def _entries(
    parameters: Sequence[Parameter], written: Documented, class_name: str, config_name: str | None
) -> list[str]:
    """The rows of an Args section: the docstring's own words first, then the tables'."""
    rows = []
    listed = {name for name, _, _ in parameters}
    for name, annotation, default in parameters:
        name = name.lstrip("*")
        if name in SILENT or name.startswith("_"):
            continue
        kind, optional = _type(annotation)
        if name in written.entries:
            rows.append(_render(name, *written.entries[name]))
        elif name in OWN:
            rows.append(f"{name} ({OWN[name]}")
        elif (entry := tables.argument(name, class_name)) is not None:
            if name == "config":
                kind = f"[`{config_name or kind.split('.')[-1] or class_name}`]"
            rows.append(_table_row(name, entry, kind, optional or default is not None, default))
    # What the docstring says of keywords that travel in **kwargs.
    rows.extend(
        _render(name, *text) for name, text in written.entries.items() if name not in listed
    )
    return rows


def _table_row(
    name: str, entry: tables.TableEntry, kind: str, optional: bool, default: str | None
) -> str:
    kind = _quoted(entry.type or kind)
    shape = f" {entry.shape}" if entry.shape else ""
    mark = ", *optional*" if optional else ""
    if entry.additional_info:
        extra = f", {entry.additional_info}"
    else:
        extra = f", defaults to `{default}`" if default not in (None, "None") else ""
    return _render(name, f"{kind}{shape}{mark}{extra}", inspect.cleandoc(entry.description))


def _output_row(name: str, annotation: str | None, default: str | None) -> str:
    kind, optional = _type(annotation)
    entry = tables.output_field(name)
    if entry is None:
        return _render(name, _quoted(kind) + (", *optional*" if optional else ""), "")
    return _table_row(name, entry, kind, optional or default is not None, None)


def _render(name: str, head: str, body: str) -> str:
    text = f"{name} ({head}):"
    return f"{text}\n{textwrap.indent(body, INDENT)}" if body else text


def _section(heading: str, rows: Sequence[str]) -> str:
    if not rows:
        return ""
    return f"{heading}:\n" + textwrap.indent("\n".join(rows), INDENT)


def _returns(output_name: str | None, docstring: str | None, config_name: str | None) -> str:
    """The Returns section, from the docstring of the output class."""
    names = re.findall(r"\b(?:TF)?(\w*Output\w*)", output_name or "")
    if not names:
        return ""
    short = names[-1]
    fields = parse_docstring(docstring or tables.shared_output(short)).entries
    if not fields:
        return f"Returns:\n{INDENT}[`{ported_name(short)}`]"
    config = f" and the configuration ([`{config_name}`])" if config_name else ""
    lead = (
        f"[`{ported_name(short)}`], or a tuple of its tensors with `return_dict=False`; which\n"
        f"fields are set depends on the inputs{config}:\n\n"
    )
    rows = [
        f"- **{name}** ({head}) -- {_hang(body)}".rstrip() for name, (head, body) in fields.items()
    ]
    return "Returns:\n" + textwrap.indent(lead + "\n".join(rows), INDENT)


def _hang(body: str) -> str:
    first, _, others = body.partition("\n")
    return f"{first}\n{textwrap.indent(others, '  ')}" if others else first


def _type(annotation: str | None) -> tuple[str, bool]:
    """An annotation as a docstring shows it, and whether None is allowed."""
    text = (annotation or "").strip().strip("\"'")
    text = re.sub(r"\btyping\.", "", text)
    match = _NONE_FIRST.match(text)
    if match:
        return match.group(1), True
    if not re.search(r"[\[(]", text) or text.endswith("| None"):
        parts = [part.strip() for part in text.split(" | ")] if "[" not in text else None
        if parts is None:
            return text.removesuffix("| None").strip(), text.endswith("| None")
        kept = [part for part in parts if part != "None"]
        return " | ".join(kept), len(kept) < len(parts)
    return text, False


def _quoted(kind: str) -> str:
    return kind if "`" in kind or not kind else f"`{kind}`"


def _is_model(base: str | None) -> bool:
    return base is None or not base.endswith(("Layer", "Module", "ModelOutput"))


def _fill(text: str, name: str, value: str) -> str:
    return text.replace("{" + name + "}", value)


def _finish(blocks: Sequence[str], model_type: str | None) -> str:
    text = "\n\n".join(block.strip("\n") for block in blocks if block and block.strip())
    text = keras_words(tables.fill_placeholders(text, model_type))
    return reflow("\n".join(line.rstrip() for line in text.split("\n")).strip())
