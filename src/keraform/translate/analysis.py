"""Analysis of a file before it is translated: its imports, functions and classes, and what kind of
class each one is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property

import libcst as cst
import libcst.matchers as m

from keraform.translate.rules.modules import layer_class
from keraform.translate.rules.seams import FLASH_ATTENTION, SHARED_MODULES
from keraform.translate.rules.torch_names import canonical
from keraform.translate.scope import ClassInfo
from keraform.translate.source import (
    REPOSITORIES,
    absolute_module,
    module_path,
    read_module,
)

LAYER_BASES = frozenset(
    {
        "transformers.PreTrainedModel",
        "transformers.modeling_layers.GradientCheckpointingLayer",
        "transformers.modeling_utils.PreTrainedAudioTokenizerBase",
        "transformers.modeling_utils.PreTrainedModel",
        "transformers.pytorch_utils.Conv1D",
    }
)
MODEL_BASES = (
    "transformers.PreTrainedModel",
    "transformers.modeling_utils.PreTrainedAudioTokenizerBase",
    "transformers.modeling_utils.PreTrainedModel",
)
KEPT_IN_FLOAT32 = re.compile(r"_keep_in_fp32_modules(?:_strict)?\s*=\s*\[([^\]]*)\]")
OUTPUT_BASES = ("transformers.utils.ModelOutput", "transformers.utils.generic.ModelOutput")


@dataclass
class Analysis:
    """What a file defines."""

    origins: dict[str, str] = field(default_factory=dict)
    classes: dict[str, ClassInfo] = field(default_factory=dict)
    functions: dict[str, cst.FunctionDef] = field(default_factory=dict)
    public: tuple[str, ...] = ()
    abstract: frozenset[str] = frozenset()
    flash_attention: frozenset[str] = frozenset()
    kept_in_float32: frozenset[str] = frozenset()  # names of modules, in models of half precision

    @cached_property
    def construction(self) -> frozenset[str]:
        """The names of methods and functions that run only while a model is constructed: the
        constructors, and what is called by nothing else.
        """
        empty = cst.Module([])
        callers: dict[str, set[str]] = {}
        for function in (
            *self.functions.values(),
            *(method for info in self.classes.values() for method in info.methods.values()),
        ):
            for called in re.findall(r"(\w+)\(", empty.code_for_node(function.body)):
                callers.setdefault(called, set()).add(function.name.value)
        known, found = frozenset[str](), frozenset({"__init__", "_init_weights", "init_weights"})
        while known != found:
            known = found
            found = known | {name for name, of in callers.items() if of <= known}
        return found

    def derives_from_translated(self, info: ClassInfo) -> bool:
        """Whether a class has a base that is translated, here or in another file."""
        origins = (_origin(self, base) for base in info.bases)
        return any(base in self.classes for base in info.bases) or any(
            _upstream_class(origin) is not None for origin in origins
        )

    def lineage(self, info: ClassInfo | None) -> Iterator[ClassInfo]:
        """A class, its first base in the file, that one's first base, and so on."""
        while info is not None:
            yield info
            info = next((self.classes[b] for b in info.bases if b in self.classes), None)


def import_origins(node: cst.Import | cst.ImportFrom, module: str) -> Iterator[tuple[str, str]]:
    """The local names that an import binds, and where each comes from."""
    if isinstance(node, cst.Import):
        for alias in node.names:
            name = _dotted(alias.name)
            if alias.asname is not None:
                yield alias.evaluated_alias or name, name
            else:
                yield name.split(".")[0], name.split(".")[0]
        return
    base = absolute_module(
        module, len(node.relative), _dotted(node.module) if node.module is not None else ""
    )
    if isinstance(node.names, cst.ImportStar):
        return
    for alias in node.names:
        name = alias.evaluated_name
        yield alias.evaluated_alias or name, f"{base}.{name}" if base else name


def _dotted(node: cst.BaseExpression) -> str:
    if isinstance(node, cst.Attribute):
        return f"{_dotted(node.value)}.{node.attr.value}"
    return node.value if isinstance(node, cst.Name) else ""


def analyse(tree: cst.Module, module: str) -> Analysis:
    """Analyses a parsed file."""
    result = Analysis()
    _collect(tree.body, module, result, tree)
    _classify(result)
    kept = " ".join(KEPT_IN_FLOAT32.findall(tree.code))
    result.kept_in_float32 = frozenset(re.findall(r"[\"'](\w+)[\"']", kept))
    if FLASH_ATTENTION in result.origins:
        result.flash_attention = frozenset(
            info.name for info in result.classes.values() if _calls(info.node, FLASH_ATTENTION)
        )
    return result


@cache
def analyse_module(module: str) -> Analysis:
    """Analyses an upstream module by name."""
    return analyse(cst.parse_module(read_module(module).text), module)


def _collect(body: object, module: str, result: Analysis, tree: cst.Module) -> None:
    for node in body:  # type: ignore[attr-defined]
        if isinstance(node, cst.SimpleStatementLine):
            for small in node.body:
                if isinstance(small, (cst.Import, cst.ImportFrom)):
                    for local, origin in import_origins(small, module):
                        result.origins[local] = origin
                elif (
                    isinstance(small, cst.Assign)
                    and tree.code_for_node(small.targets[0].target) == "__all__"
                ):
                    result.public += tuple(
                        re.findall(r"[\"'](\w+)[\"']", tree.code_for_node(small.value))
                    )
        elif isinstance(node, cst.ClassDef):
            bases = [tree.code_for_node(base.value) for base in node.bases]
            info = ClassInfo(node.name.value, node, bases)
            if isinstance(node.body, cst.IndentedBlock):
                info.methods = {
                    s.name.value: s for s in node.body.body if isinstance(s, cst.FunctionDef)
                }
            result.classes[info.name] = info
        elif isinstance(node, cst.FunctionDef):
            result.functions[node.name.value] = node
        elif isinstance(node, (cst.If, cst.Try)):
            _collect(node.body.body, module, result, tree)
            if isinstance(node, cst.If) and isinstance(node.orelse, cst.Else):
                _collect(node.orelse.body.body, module, result, tree)


def _origin(result: Analysis, base: str) -> str:
    root, _, rest = base.partition(".")
    origin = result.origins.get(root)
    return base if origin is None else f"{origin}.{rest}" if rest else origin


def _classify(result: Analysis) -> None:
    for info in result.classes.values():
        for base in info.bases:
            _inherit(info, base, result)
        if "__init__" in info.methods and not info.bases and "forward" in info.methods:
            info.is_layer = True
        info.is_public = info.name in result.public or (
            not result.public and not info.name.startswith("_")
        )
    models = [info for info in result.classes.values() if info.is_model]
    bases = {base for info in models for base in info.bases if base in result.classes}
    constructors = _constructors(result) if models else {}
    result.abstract = frozenset(info.name for info in models if _is_abstract(info, bases))
    for info in models:
        info.is_split = (
            info.is_public
            and info.name not in result.abstract
            and (_is_base_model(info) or _is_component(info, constructors))
        )


def _inherit(info: ClassInfo, base: str, result: Analysis) -> None:
    """What a base class makes of a class."""
    origin = _origin(result, base)
    torch = canonical(origin) or ""
    parent = result.classes.get(base) or _upstream_class(origin)
    if parent is not None and parent is not info:
        info.is_layer |= parent.is_layer
        info.is_model |= parent.is_model
        info.is_output |= parent.is_output
    if base in result.classes:
        info.torch_base = info.torch_base or result.classes[base].torch_base
    if torch.startswith("nn.") or origin in LAYER_BASES:
        info.is_layer = True
    if layer_class(torch) is not None:
        info.torch_base = torch
    info.is_model |= origin in MODEL_BASES
    info.is_output |= origin in OUTPUT_BASES or origin.startswith("transformers.modeling_outputs.")


def _is_abstract(info: ClassInfo, bases: set[str]) -> bool:
    """Whether a model only serves as a base of others."""
    if info.name.endswith(("PreTrainedModel", "PretrainedModel")) and "forward" not in info.methods:
        return True
    return info.name in bases and not info.methods.keys() & {"forward", "__init__"}


def _calls(node: cst.CSTNode, name: str) -> bool:
    return bool(m.findall(node, m.Call(func=m.Name(name))))


def _is_base_model(info: ClassInfo) -> bool:
    return info.name.endswith("Model") and not info.name.endswith(("LMHeadModel", "HeadsModel"))


def _constructors(result: Analysis) -> dict[str, str]:
    """The texts of the layers' constructors, by class."""
    empty = cst.Module([])
    return {
        info.name: empty.code_for_node(info.methods["__init__"])
        for info in result.classes.values()
        if info.is_layer and "__init__" in info.methods
    }


def _is_component(info: ClassInfo, constructors: dict[str, str]) -> bool:
    pattern = re.compile(rf"\b{info.name}(?:\(|\._from_config\()")
    return any(pattern.search(text) for name, text in constructors.items() if name != info.name)


@cache
def _upstream_class(origin: str) -> ClassInfo | None:
    """A class of another upstream modeling file, when a base class comes from there."""
    module, _, name = origin.rpartition(".")
    is_repositorys = module.startswith(f"{REPOSITORIES}.") and module_path(module) is not None
    if not (module.startswith("transformers.") or is_repositorys) or not name[:1].isupper():
        return None
    known = ".modeling_" in module or module in SHARED_MODULES or is_repositorys
    if not known or module in ("transformers.modeling_utils", "transformers.modeling_outputs"):
        return None
    return analyse_module(module).classes.get(name)
