"""The configuration that a Linux kernel can carry (CONFIG_IKCONFIG).

Source of facts: Linux kernel/configs.c: a gzip stream between ``IKCFG_ST`` and ``IKCFG_ED``.
"""

from __future__ import annotations

import re
from typing import Final

from timehands.errors import KernelDamaged
from timehands.kernels.compression import decompress
from timehands.kernels.enums import Compression

_START: Final = re.compile(rb"IKCFG_ST(?=\x1f\x8b\x08)")
_MAX_CONFIG: Final = 8 << 20


def read_ikconfig(data: memoryview) -> str | None:
    """The text of the embedded ``.config``, or None when there is none that can be read."""
    found = _START.search(data)
    if found is None:
        return None
    try:
        text = decompress(data[found.end() :], Compression.GZIP, _MAX_CONFIG)
    except KernelDamaged:
        return None
    return text.decode("utf-8", "replace")
