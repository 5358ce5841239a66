"""What a kernel's source tree says: its configuration, its cross reference, its history.

Nothing here knows a guest, a kernel file or a machine; what really ran is joined further up.
"""
