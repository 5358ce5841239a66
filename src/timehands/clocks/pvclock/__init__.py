"""pvclock: the paravirtual clock of KVM and Xen, exact to the bit.

``numbers`` (flags, MSRs, sizes), ``layout`` (bytes to values) and ``describe`` (what people read)
are kept apart; ``scale`` is the arithmetic and how KVM and Xen choose its factors, ``reading`` what
a page says at a TSC, ``wallclock`` the date, ``rounding`` what truncation costs, ``check`` what is
wrong with a page, ``xen`` where Xen keeps it; ``arrays`` (NumPy) does a million reads at once.

::

    from timehands.clocks.pvclock.layout import TimeInfo
    from timehands.clocks.pvclock.reading import nanoseconds
    from timehands.clocks.pvclock.scale import time_scale

    mul, shift = time_scale(2_499_998)
    info = TimeInfo(2, 7656153286830, 1148131, mul, shift, flags=1)
    nanoseconds(info, 7656155786828)      # 1 ms later
"""
