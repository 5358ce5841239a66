"""A kernel's configuration, resolved: what is set and where, which files are compiled and why.

::

    tree = SourceTree.open("/usr/src")
    kernel = resolve(tree, "FIRECRACKER")
    kernel.options["XENHVM"].chain          # (Step(Where("sys/amd64/conf/FIRECRACKER", 236), ...),)
    kernel.why("sys/x86/x86/pvclock.c")     # Why(compiled=True, ...)
    compare(kernel, resolve(tree, "GENERIC"))

The languages are those of FreeBSD's config(8), of NetBSD's and OpenBSD's config(1), and of Linux
(Kconfig, .config and Kbuild). Nothing of a tree is run: no make, no shell.
"""

from timehands.sources.config.comparing import Difference, compare
from timehands.sources.config.model import (
    Change,
    Complaint,
    Configuration,
    Reason,
    Rule,
    Setting,
    State,
    Step,
    Verdict,
    Why,
)
from timehands.sources.config.resolving import configurations, resolve

__all__ = [
    "Change",
    "Complaint",
    "Configuration",
    "Difference",
    "Reason",
    "Rule",
    "Setting",
    "State",
    "Step",
    "Verdict",
    "Why",
    "compare",
    "configurations",
    "resolve",
]
