"""KVM from Python: its ioctls, structures and capabilities, and errors that name them.

Nothing else in the project opens /dev/kvm.
"""
