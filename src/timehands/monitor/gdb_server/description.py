"""``target.xml``: the description of the registers that a client asks for when it connects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from xml.sax.saxutils import quoteattr

from timehands.monitor.gdb_server.registers import Architecture, Feature, features

TARGET = "target.xml"
_EFLAGS = {
    "CF": 0, "PF": 2, "AF": 4, "ZF": 6, "SF": 7, "TF": 8, "IF": 9, "DF": 10, "OF": 11, "NT": 14,
    "RF": 16, "VM": 17, "AC": 18, "VIF": 19, "VIP": 20, "ID": 21,
}  # fmt: skip
_MXCSR = {
    "IE": 0, "DE": 1, "ZE": 2, "OE": 3, "UE": 4, "PE": 5, "DAZ": 6, "IM": 7, "DM": 8, "ZM": 9,
    "OM": 10, "UM": 11, "PM": 12, "FZ": 15,
}  # fmt: skip
_VECTORS = {
    "v4f": ("ieee_single", 4), "v2d": ("ieee_double", 2), "v16i8": ("int8", 16),
    "v8i16": ("int16", 8), "v4i32": ("int32", 4), "v2i64": ("int64", 2),
}  # fmt: skip


@cache
def documents(architecture: Architecture) -> Mapping[str, bytes]:
    """All documents by name; there is one."""
    body = "".join(_feature(feature) for feature in features(architecture))
    text = (
        '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd">'
        f"<target><architecture>{architecture.value}</architecture>{body}</target>"
    )
    return {TARGET: text.encode()}


def _feature(feature: Feature) -> str:
    kinds = {register.kind for register in feature.registers}
    return "".join(
        [
            f"<feature name={quoteattr(feature.name)}>",
            _flags("i386_eflags", _EFLAGS) if "i386_eflags" in kinds else "",
            _flags("i386_mxcsr", _MXCSR) if "i386_mxcsr" in kinds else "",
            "".join(_vectors()) if "vec128" in kinds else "",
            *(
                f'<reg name="{r.name}" bitsize="{8 * r.size}" type="{r.kind}" group="{r.group}"/>'
                for r in feature.registers
            ),
            "</feature>",
        ]
    )


def _flags(name: str, bits: Mapping[str, int]) -> str:
    fields = "".join(f'<field name="{bit}" start="{at}" end="{at}"/>' for bit, at in bits.items())
    return f'<flags id="{name}" size="4">{fields}</flags>'


def _vectors() -> Iterator[str]:
    for name, (kind, count) in _VECTORS.items():
        yield f'<vector id="{name}" type="{kind}" count="{count}"/>'
    fields = "".join(f'<field name="{name}" type="{name}"/>' for name in _VECTORS)
    yield f'<union id="vec128">{fields}<field name="uint128" type="uint128"/></union>'
