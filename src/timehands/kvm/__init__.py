"""KVM from Python: its ioctls, structures and capabilities, and errors that name them.

::

    with Kvm() as kvm, Vm(kvm) as vm:
        vm.add_memory(0, 0x1000)
        vm.memory.write(0, bytes.fromhex("b0 2a e6 80 f4"))     # mov al, 42; out 0x80, al; hlt
        vcpu = vm.add_vcpu()
        start_real_mode(vcpu, 0)
        print(vcpu.run())                                       # PortOut(port=128, size=1, ...)
        print(vcpu.run())                                       # Halt()

Nothing else in the project opens /dev/kvm. Capabilities are asked before they are used: `KvmLacks`
names the one that is missing; `KvmRefused` names the ioctl that failed, with what it needs.

``numbers``, ``structs`` and ``descriptions`` hold the interface's numbers, layouts and words;
``system``, ``vm`` and ``vcpu`` the three kinds of file descriptor; ``exits`` the reasons why a vCPU
comes back; ``memory``, ``msr_filter``, ``cpuid``, ``modes``, ``interruption`` what their names say.
"""

from __future__ import annotations

from timehands.kvm.modes import start_protected_mode, start_real_mode
from timehands.kvm.numbers import Capability
from timehands.kvm.system import Kvm
from timehands.kvm.vcpu import Vcpu
from timehands.kvm.vm import ClockReading, Vm

__all__ = [
    "Capability",
    "ClockReading",
    "Kvm",
    "Vcpu",
    "Vm",
    "start_protected_mode",
    "start_real_mode",
]
