"""Clocks in virtual time: hosts, vCPUs, migrations, providers and readers, in exact integers.

Nothing here starts a guest: a clock design is tried, and broken, before anybody builds it.
"""
