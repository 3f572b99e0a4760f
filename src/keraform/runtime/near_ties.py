"""What both sides of a proof sort by while casts are lifted; imports no framework, as each side may
run without the other's.
"""

from __future__ import annotations

# By how much values are scaled to lose 16 bits before they are sorted.
SORTED_BY = 2.0**16 + 1
