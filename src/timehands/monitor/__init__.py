"""A microVM monitor of our own on KVM, in which every clock is explicit and can be bent.

Read it in this order: `layout` (where things are), `loading` and its protocols (what is put there),
`bus` and `devices` (what the guest finds at ports and addresses), `settings` (its clocks), `vcpus`
and `machine` (what runs).
"""
