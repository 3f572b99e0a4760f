"""Translation of calls: functions of torch, methods of tensors, modules, and everything that is
merely passed on.
"""

from __future__ import annotations

from keraform.translate.calls.dispatch import CallTranslator
from keraform.translate.rules.record import Arguments

__all__ = ["Arguments", "CallTranslator"]
