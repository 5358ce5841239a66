"""The conformance guest: whether the clocks that a VMM gives are right.

Read it in this order: `cases` (what is looked at, and why), `guest` (the program that measures),
`talk` (the host's side of the serial line), `log` (what was said), `facts` and `rules` (what it
means), `judge` (all of it), `runners` (on which VMM) and the reports.
"""
