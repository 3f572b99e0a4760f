"""Imports of a port: what the source imports, and where each name comes from in the port."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from keraform.translate.kinds import (
    CONFIG,
    CONTEXT,
    FLOAT_TENSOR,
    FUNCTION,
    INT_TENSOR,
    PY,
    UNKNOWN,
    Kind,
)
from keraform.translate.layout import Doc, flat, group, render
from keraform.translate.rules.record import Refusal
from keraform.translate.rules.seams import (
    AUTO_CLASS,
    DROPPED_NAMES,
    SEAM_MODULES,
    SEAM_NAMES,
    SHARED_MODULES,
)
from keraform.translate.source import (
    REPOSITORIES,
    home,
    module_path,
    port_name,
    uses_torch,
)

MASK = Kind("tensor", "mask", 4, optional=True)  # of booleans where two of them meet
CALL_KINDS: dict[str, Kind] = {
    "create_causal_mask": MASK,
    "create_bidirectional_mask": MASK,
    "create_sliding_window_causal_mask": MASK,
    "apply_chunking_to_forward": FLOAT_TENSOR,
    "slice_logits_to_keep": FLOAT_TENSOR,
    "DynamicCache": Kind("object", name="Cache"),
    "EncoderDecoderCache": Kind("object", name="Cache"),
    "get_vision_interpolation_indices_and_weights": Kind(
        "tuple", items=(INT_TENSOR, Kind("tensor", "float32"))
    ),
    "nullcontext": CONTEXT,
    "get_activation": Kind("layer", name="nn.Module"),
}
STDLIB = frozenset(
    "__future__ abc collections collections.abc contextlib copy dataclasses enum functools "
    "itertools logging math numbers operator os random re sys types typing warnings string json "
    "inspect pathlib time textwrap bisect heapq statistics fractions zlib".split()
)
# What `transformers` itself needs, so that ports may use it too.
PACKAGES = frozenset({"numpy", "scipy", "tqdm", "transformers"})


class ImportTable:
    """Collects the imports that the generated file needs.

    Args:
        component_name: what a class of a module is called in its port.
        imported_by: the package whose models import the file while they are imported themselves,
            so that their classes can be looked up only later; empty for other files.
    """

    def __init__(self, component_name: Callable[[str, str], str], imported_by: str = ""):
        self.origins: dict[str, str] = {}
        self.needed: dict[tuple[str, str], str] = {}
        self.modules: dict[str, str | None] = {}
        self.component_name = component_name
        self.imported_by = imported_by
        self.late: set[tuple[str, str]] = set()  # modules that the file imports at its end

    def bind(self, local: str, origin: str) -> None:
        """Records an import of the source."""
        self.origins[local] = origin

    def need(self, module: str, name: str, alias: str | None = None) -> str:
        """Asks for `from module import name as alias`; returns the local name."""
        self.needed[(module, name)] = alias or name
        return alias or name

    def rename(self, aliases: Mapping[str, str]) -> None:
        """Gives the port's own modules other local names."""
        for (module, name), local in self.needed.items():
            if local in aliases and module in ("keras", "keraform.runtime"):
                self.needed[module, name] = aliases[local]

    def plain(self, module: str, alias: str | None = None) -> None:
        """Asks for `import module as alias`."""
        self.modules[module] = alias

    def need_for(self, document: Doc) -> None:
        """Asks for what the text of a rule mentions."""
        text = flat(document)
        if "ops." in text:
            self.need("keras", "ops")
        if "kf." in text:
            self.need("keraform.runtime", "ops", "kf")
        if "layers." in text:
            self.need("keraform.runtime", "layers")
        if "math." in text:
            self.plain("math", None)

    def need_as(self, module: str, name: str, local: str) -> str:
        """Asks for `from module import name`, by the local name that the source gives it."""
        return self.need(module, name, local if local != name else None)

    def use(self, local: str) -> tuple[str, Kind]:
        """The local name and the kind of an imported name that the code mentions."""
        origin = self.origins[local]
        module, _, name = origin.rpartition(".")
        if not module:
            if origin not in STDLIB and origin not in PACKAGES:
                raise Refusal(f"import.{origin}", "ports do not know this package")
            self.plain(origin, local if local != origin else None)
            return local, PY
        found = self.use_seam(local, origin)
        if found is not None:
            return found
        if name in DROPPED_NAMES:
            raise Refusal(
                f"import.{name}", "this helper of Transformers has no counterpart in a port"
            )
        if module.startswith("transformers") and uses_torch(module):
            if home(origin) != origin:
                self.origins[local] = home(origin)
                return self.use(local)
            return self.use_port(local, module, name)
        if module.split(".")[0] not in STDLIB and not module.startswith("transformers"):
            if module_path(origin) is None and module.split(".")[0] in PACKAGES:
                return self.need_as(module, name, local), PY
            raise Refusal(
                f"import.{module}", f"`{name}` comes from a package that ports do not know"
            )
        kind = CONFIG if name.endswith("Config") else PY if name in ("logging", "math") else UNKNOWN
        if module.startswith(f"{REPOSITORIES}."):
            module = port_name(module)
        return self.need_as(module, name, local), kind

    def use_seam(self, local: str, origin: str) -> tuple[str, Kind] | None:
        """A name that Keraform's runtime has; None for other names."""
        module, _, name = origin.rpartition(".")
        target = SEAM_NAMES.get(origin)
        if AUTO_CLASS.fullmatch(origin):
            return self.need("keraform", f"TF{name}"), Kind("class")
        if target is not None:
            if target.rsplit(".", 1)[-1][0].isupper():
                module, _, name = target.rpartition(".")
                return self.need(module, name), UNKNOWN
            return self.need_as(target, name, local), _seam_kind(name)
        if origin in SEAM_MODULES:
            package, _, leaf = SEAM_MODULES[origin].rpartition(".")
            return self.need_as(package, leaf, local), UNKNOWN
        for upstream, seam in SEAM_MODULES.items():
            if module == upstream or module.startswith(upstream + "."):
                if name not in public_names(seam):
                    raise Refusal(f"import.{name}", f"{seam} has no counterpart of it")
                return self.need_as(seam, name, local), _seam_kind(name)
        return None

    def use_port(self, local: str, module: str, name: str) -> tuple[str, Kind]:
        """A name of another upstream module that is translated too."""
        shared = re.fullmatch(SHARED_MODULES.get(module, ""), name)
        if not module.startswith(("transformers.models.", f"{REPOSITORIES}.")) and not shared:
            raise Refusal(f"import.{name}", f"the runtime has no counterpart of {module}.{name}")
        port = port_name(module)
        if name[0].isupper() and not name.isupper():
            found, (package, _, leaf) = self.component_name(module, name), port.rpartition(".")
            if module.startswith(f"{self.imported_by}.modeling_"):
                self.late.add((package, leaf))
                return f"{leaf}.{found}", Kind("class")
            return self.need(port, found), Kind("class")
        return self.need_as(port, name, local), FUNCTION

    @staticmethod
    def call_kind(origin: str) -> Kind:
        """What a call of an imported function gives."""
        name = origin.rsplit(".", 1)[-1]
        if origin.startswith(("math.", "numpy.")):
            return PY
        if origin.startswith("transformers.activations.ACT2FN"):
            return Kind("layer", name="nn.Module")
        return CALL_KINDS.get(name, UNKNOWN)

    def text(self, used: str) -> str:
        """The import block, for the names that occur in `used`."""
        words = set(re.findall(r"[A-Za-z_]\w*", used))
        plain = [(m, a) for m, a in self.modules.items() if (a or m.split(".")[0]) in words]
        grouped: dict[str, list[tuple[str, str]]] = {}
        for (module, name), alias in self.needed.items():
            if alias in words:
                grouped.setdefault(module, []).append((name, alias))
        sections: list[list[str]] = [[], [], []]
        for module, shorter in sorted(plain, key=lambda p: p[0]):
            sections[_section(module)].append(
                f"import {module}" + (f" as {shorter}" if shorter else "")
            )
        for module in sorted(grouped):
            names = sorted(n for n, a in grouped[module] if n == a)
            for name, alias in sorted(grouped[module]):
                if name != alias:
                    sections[_section(module)].append(f"from {module} import {name} as {alias}")
            if not names:
                continue
            one = f"from {module} import {', '.join(names)}"
            if len(one) > 119:
                one = f"from {module} import " + render(
                    (group("(", [(n,) for n in names], ")", exploded=True),), ""
                )
            sections[_section(module)].append(one)
        return "\n\n".join("\n".join(s) for s in sections if s)


@cache
def public_names(module: str) -> frozenset[str]:
    """The names at the top of a module of Keraform, read from its source so that no backend is
    imported.
    """
    base = Path(__file__).parents[1].joinpath(*module.split(".")[1:])
    path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    names: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(target.id for target in targets if isinstance(target, ast.Name))
    return frozenset(names)


def _section(module: str) -> int:
    root = module.split(".")[0]
    return 0 if module in STDLIB or root in STDLIB else 2 if root == "keraform" else 1


def _seam_kind(name: str) -> Kind:
    if name == "ACT2FN":
        return Kind("dict", name="ACT2FN")
    if name.isupper():
        return Kind("object", name=name)
    return Kind("function", name=name) if name[0].islower() else Kind("class")
