"""Timehands: how guest kernels find their clocks on microVMs."""

__version__ = "0.1.0"
