"""Readers and providers of pvclock as small explicit programs of memory accesses.

`ops` is the instruction set, `readers` what guests do, `writers` what providers do, `run` executes
a program by itself. What happens when they meet is explored in `timehands.simulate.explorer`.
"""
