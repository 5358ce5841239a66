"""Linux: Kconfig, a .config, and Kbuild's makefiles. Nothing is run: no make, no compiler.

What Kconfig asks the compiler (``$(cc-option,...)``) is taken from the .config: it has the answer.
"""
