"""The yardstick's own test: our monitor with one planted defect each, and the case that sees it.

Read `mutant` first (what one is), then the files by area, `catalogue` (all of them), and `hunt`
(what becomes of one).
"""
