"""How x86 clocks work: facts and arithmetic.

This is the ground floor: nothing here starts a guest, and a VMM's author can use it alone.
"""
