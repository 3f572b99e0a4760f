"""Translation of definitions: functions, classes, and the wrappers of split models."""

from __future__ import annotations

from keraform.translate.definitions.classes import ClassDefinitionTranslator
from keraform.translate.definitions.functions import FunctionDefinitionTranslator

__all__ = ["ClassDefinitionTranslator", "FunctionDefinitionTranslator"]
