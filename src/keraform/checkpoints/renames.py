"""Rules that turn the key of an old checkpoint into the key that the model has today, and back."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any, ClassVar


class Rename:
    r"""One renaming, in the pattern language of `transformers.core_model_loading`.

    A source is a regular expression that may match anywhere in the key; the first target replaces
    what it matched. `\1` in a target stands for the first group of the source. Seen from the
    other side, targets are sources: anchors, escaped dots and assertions are cleaned away then.

    Args:
        source_patterns: Where to look in a checkpoint's key.
        target_patterns: What to write instead.
    """

    def __init__(
        self, source_patterns: str | Sequence[str], target_patterns: str | Sequence[str]
    ) -> None:
        # as they were written, by upstream's names, since its table asks its own rules for them
        self._original_source_patterns = _listed(source_patterns)
        self._original_target_patterns = _listed(target_patterns)
        cleaned = [_as_target(pattern) for pattern in self._original_target_patterns]
        groups = {group for _, group in cleaned if group is not None}
        if len(groups) > 1:
            raise ValueError(f"targets with different groups: {sorted(groups)}")
        self.target_patterns = [pattern for pattern, _ in cleaned]
        self.source_patterns = self._sources(next(iter(groups), None))
        self.scope: tuple[str, str] | None = None
        self.used = False
        self._search = re.compile("|".join(self._branches()))

    def _sources(self, group: str | None) -> list[str]:
        sources = []
        targets = self._original_target_patterns
        paired = len(self._original_source_patterns) == len(targets)
        for index, pattern in enumerate(self._original_source_patterns):
            if r"\1" in pattern:
                if group is None:
                    raise ValueError(f"{pattern} refers to a group that no target has")
                pattern = pattern.replace(r"\1", group, 1)
            anchored = paired and targets[index].startswith("^")
            sources.append(f"^{pattern}" if anchored and not pattern.startswith("^") else pattern)
        return sources

    def _branches(self) -> list[str]:
        # longest first, so that `weight.absmax` is not taken for `weight`
        order = sorted(
            range(len(self.source_patterns)), key=lambda index: -len(self.source_patterns[index])
        )
        branches = []
        for index in order:
            pattern = self.source_patterns[index].replace("*.", r".*\.")
            if re.search(r"[a-zA-Z0-9]$", pattern):
                pattern += r"(?!\w)"  # a pattern ends where a name ends
            branches.append(f"(?P<g{index}>{pattern})")
        return branches

    def _match(self, key: str) -> tuple[str, str, re.Match[str], int] | None:
        """The scope's prefix, the rest of the key, the match in it, and the source's number."""
        prefix = ""
        if self.scope is not None:
            base, inner = (f"{part}." if part else "" for part in self.scope)
            fitting = [start for start in (base + inner, inner) if key.startswith(start)]
            if not fitting:
                return None
            prefix = fitting[0]
        rest = key[len(prefix) :]
        match = self._search.search(rest)
        if match is None:
            return None
        name = next(name for name, text in match.groupdict().items() if text is not None)
        return prefix, rest, match, int(name[1:])

    def apply(self, key: str) -> tuple[str, str | None]:
        """The new key, and the source that matched, or None where none did.

        Args:
            key: A key of a checkpoint.
        """
        found = self._match(key)
        if found is None:
            return key, None
        prefix, rest, match, number = found
        self.used = True
        replacement = self._replacement(match, number)
        return prefix + rest.replace(match.group(0), replacement, 1), self.source_patterns[number]

    def _replacement(self, match: re.Match[str], number: int) -> str:
        group = self._search.groupindex[f"g{number}"] + 1
        target = self.target_patterns[0]
        return target.replace(r"\1", match.group(group)) if r"\1" in target else target

    def fresh(self) -> Rename:
        """The same rule, not yet used."""
        twin = copy.copy(self)
        twin.used = False
        return twin

    def scoped(self, base: str, inner: str) -> Rename:
        """The same rule for keys below `inner` only, which may stand below `base`.

        Args:
            base: The model's base prefix.
            inner: The path of the inner model, without that prefix.
        """
        twin = copy.copy(self)
        twin.scope = (base, inner)
        return twin

    def reversed(self) -> Rename:
        """The rule for the way back."""
        twin = self._rebuilt(self._original_target_patterns, self._original_source_patterns)
        twin.scope = self.scope
        return twin

    def _rebuilt(self, sources: list[str], targets: list[str]) -> Rename:
        return type(self)(sources, targets)


class PrefixChange(Rename):
    """Adds or removes one leading part of the keys."""

    def __init__(
        self,
        prefix_to_add: str | None = None,
        prefix_to_remove: str | None = None,
        model_prefix: str | None = None,
    ) -> None:
        self.arguments = (prefix_to_add, prefix_to_remove, model_prefix)
        start = rf"{model_prefix}\." if model_prefix else ""
        if prefix_to_add is not None:
            super().__init__(
                rf"^{start}(?:(?!{prefix_to_add}\.))(.+)", rf"{start}{prefix_to_add}\.\1"
            )
        else:
            super().__init__(rf"^{start}{prefix_to_remove}\.(.+)", rf"{start}\1")

    def _rebuilt(self, sources: list[str], targets: list[str]) -> Rename:
        add, remove, model_prefix = self.arguments
        return PrefixChange(remove, add, model_prefix)


class GroupRename(Rename):
    """Renames that chain (`norm0` to `norm1` to `norm2`), used once the first was seen."""

    def __init__(self, source_patterns: Sequence[str], target_patterns: Sequence[str]) -> None:
        super().__init__(source_patterns, target_patterns)
        self._begun = False

    def apply(self, key: str) -> tuple[str, str | None]:
        found = self._match(key)
        if found is None:
            return key, None
        prefix, rest, match, number = found
        self._begun = self._begun or number == 0
        if not self._begun:
            return key, None
        self.used = True
        first = self._search.groupindex[f"g{number}"]
        target = re.sub(
            r"\\(\d+)", lambda m: match.group(first + int(m.group(1))), self.target_patterns[number]
        )
        return prefix + rest.replace(match.group(0), target, 1), self.source_patterns[number]

    def fresh(self) -> Rename:
        twin = super().fresh()
        twin._begun = False
        return twin

    def _rebuilt(self, sources: list[str], targets: list[str]) -> Rename:
        pairs = sorted(zip(sources, targets, strict=True))
        return GroupRename([s for s, _ in pairs], [t for _, t in pairs])


class OffsetRename(Rename):
    """A rename that also shifts the index in its group."""

    def __init__(
        self,
        source_patterns: str | Sequence[str],
        target_patterns: str | Sequence[str],
        offset: int,
    ) -> None:
        self.offset = offset
        super().__init__(source_patterns, target_patterns)

    def _replacement(self, match: re.Match[str], number: int) -> str:
        index = int(match.group(self._search.groupindex[f"g{number}"] + 1))
        return self.target_patterns[0].replace(r"\1", str(index + self.offset))

    def _rebuilt(self, sources: list[str], targets: list[str]) -> Rename:
        return OffsetRename(sources, targets, -self.offset)


class LayerPairCollapse(Rename):
    """A layer that was kept as a block of attention and a block of an MLP becomes one layer."""

    _block = re.compile(r"layers\.(\d+)\.(mixer|attn_alpha|mlp_alpha)(?=\.|$)")
    _names: ClassVar[dict[str, str]] = {"attn_alpha": "lambda_1", "mlp_alpha": "lambda_2"}

    def __init__(self) -> None:
        super().__init__(r"layers\.(\d+)", r"layers.\1")

    def apply(self, key: str) -> tuple[str, str | None]:
        match = self._block.search(key)
        if match is None:
            return key, None
        self.used = True
        index, kind = int(match[1]), match[2]
        name = self._names.get(kind, ("self_attn", "mlp")[index % 2])
        renamed = f"layers.{index // 2}.{name}"
        return key[: match.start()] + renamed + key[match.end() :], self.source_patterns[0]

    def reversed(self) -> Rename:
        return self  # upstream too writes one layer


class UnknownRename(Rename):
    """A rule of upstream's that has no counterpart here: it renames nothing, and says so.

    Args:
        name: Upstream's name of the rule.
    """

    def __init__(self, name: str) -> None:
        super().__init__([], [])
        self.reason = f"Keraform has no counterpart of {name}"

    def apply(self, key: str) -> tuple[str, str | None]:
        return key, None

    def reversed(self) -> Rename:
        return self


class Converter(Rename):
    """A rename with operations on the tensors: several keys to one, or one to several.

    Args:
        source_patterns: The keys whose tensors go in.
        target_patterns: The keys that come out.
        operations: What to do, in order (`keraform.checkpoints.operations`).
        force_cpu: Kept for upstream's signature; conversion happens on the host anyway.
    """

    def __init__(
        self,
        source_patterns: str | Sequence[str],
        target_patterns: str | Sequence[str],
        operations: Sequence[Any],
        force_cpu: bool = False,
    ) -> None:
        super().__init__(source_patterns, target_patterns)
        self.operations = list(operations)

    def _rebuilt(self, sources: list[str], targets: list[str]) -> Rename:
        return Converter(sources, targets, [op.reversed() for op in reversed(self.operations)])


def _listed(patterns: str | Sequence[str]) -> list[str]:
    return [patterns] if isinstance(patterns, str) else list(patterns)


def _as_target(pattern: str) -> tuple[str, str | None]:
    """A pattern as a replacement: no anchor, no assertion, its group as a reference."""
    pattern = re.sub(r"\(\?.+?\)?\)", "", pattern.removeprefix("^"))
    group = re.search(r"\(.+?\)", pattern)
    if group is not None:
        pattern = pattern.replace(group.group(0), r"\1", 1)
    return pattern.replace(r"\.", "."), group.group(0) if group is not None else None
