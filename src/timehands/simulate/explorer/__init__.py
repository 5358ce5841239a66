"""The protocol of pvclock, proved: every interleaving of providers and readers within bounds.

From the ground up: `orders` says what may be reordered, `assemble` turns programs into threads,
`machine` is what one thread may do next, `world` what all of them may, `search` visits every state.
`pages` and `judge` say which times are right, `claims` what is proved, `mutants` which mistakes are
caught, `schedule` shows how. See docs/protocol.md.
"""
