"""CPUID as far as it concerns clocks.

``numbers`` (enums), ``layouts`` (registers to values) and ``describe`` (what people read) are kept
apart; ``table`` knows which leaf may be believed, ``decode`` makes one value of all, ``dump`` reads
and writes the format of ``cpuid -r``, ``host`` asks the processor that we run on.

::

    from timehands.clocks.cpuid.decode import decode
    from timehands.clocks.cpuid.host import host_table

    decode(host_table()).invariant_tsc
"""
