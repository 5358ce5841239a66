"""The points of a whole guest."""

from __future__ import annotations

from timehands.errors import BreakpointImpossible
from timehands.kvm.vcpu import Vcpu
from timehands.monitor.breakpoints.abilities import Abilities, ask
from timehands.monitor.breakpoints.debug_registers import SLOTS
from timehands.monitor.breakpoints.model import Hit, Kind, OnHit, OnStep, Point
from timehands.monitor.breakpoints.patches import Patches
from timehands.monitor.breakpoints.stops import Table, VcpuStops
from timehands.monitor.microvm import Microvm


class Breakpoints:
    """Where a guest's vCPUs stop, and who is told. Make one for a guest, and let all share it.

    Until something is added the guest is as without it. Points may be added and removed at any
    time, also while the guest runs (it is paused for a moment), by any thread but a vCPU's.
    """

    def __init__(self, guest: Microvm) -> None:
        self.guest = guest
        self.patches = Patches(guest.vm.memory)
        self._table = Table(self.patches)
        self._abilities: Abilities | None = None
        self._on_hit: dict[Point, list[OnHit]] = {}
        self._on_step: OnStep | None = None
        self._stops: dict[int, VcpuStops] = {}

    @property
    def abilities(self) -> Abilities:
        """What this host's KVM can do; tried out when it is first asked for (some 10 ms)."""
        if self._abilities is None:
            self._abilities = self._table.abilities = ask(self.guest.kvm)
        return self._abilities

    @property
    def points(self) -> tuple[Point, ...]:
        """What there is now."""
        return tuple(self._on_hit)

    def add(self, point: Point, on_hit: OnHit, *, vcpu: int = 0) -> None:
        """Have ``on_hit`` called whenever a vCPU comes to that point, in the vCPU's thread.

        When it returns, the vCPU goes on past the point; what it changed of the vCPU's registers
        counts. An error of it ends the guest. It must not call `add` or `remove`, nor wait for the
        guest. A point may be added several times; each ``on_hit`` is called then. ``vcpu``: by
        whose page tables the address of a software breakpoint is found.

        Raises `BreakpointImpossible`: the KVM of this host does not report such points, all four
        debug registers are taken, or there is no memory at the address (``SOFTWARE`` only).
        """
        if not self.abilities.has(point.kind):
            raise BreakpointImpossible(point, f"this host's KVM tells of no {point.kind.value}")
        with self.guest.paused():
            if point not in self._on_hit:
                self._place(point, vcpu)
            self._on_hit.setdefault(point, []).append(on_hit)
            self._arm()

    def remove(self, point: Point, on_hit: OnHit) -> None:
        """Take back one `add`. Raises KeyError when there was none such."""
        if on_hit not in self._on_hit.get(point, ()):
            raise KeyError(point)
        with self.guest.paused():
            told = self._on_hit[point]
            told.remove(on_hit)
            if not told:
                del self._on_hit[point]
                self._displace(point)
            self._arm()

    # For a debugger, which steps and holds vCPUs itself

    def on_step(self, on_step: OnStep | None) -> None:
        """Who is told, in the vCPU's thread, that it has done the step that `step` asked for."""
        self._on_step = on_step

    def step(self, vcpu: int) -> None:
        """Have a vCPU execute one instruction when it next runs: past a point, if it is at one.

        Call this while the vCPU is out of the guest. Raises `KvmRefused`.
        """
        self._stops_of()[vcpu].step()

    def go(self, vcpu: int) -> None:
        """Have a vCPU run on when it next runs: past the point that it has told of, if it still
        stands there. Call this while the vCPU is out of the guest. Raises `KvmRefused`."""
        self._stops_of()[vcpu].no_step()

    def linear_pc(self, vcpu: int) -> int:
        """Where a vCPU that is out of the guest stands, as a linear address."""
        return self._stops_of()[vcpu].linear_pc()

    def at(self, vcpu: int) -> tuple[Point, ...]:
        """The breakpoints at which a vCPU that is out of the guest stands."""
        return self._stops_of()[vcpu].here()

    def to_pass(self, vcpu: int) -> tuple[Point, ...]:
        """Those of them that it has told of, and will get past when it runs on."""
        return self._stops_of()[vcpu].to_pass()

    def hit(self, hit: Hit) -> None:
        """A vCPU came to a point."""
        for on_hit in tuple(self._on_hit.get(hit.point, ())):
            on_hit(hit)

    def stepped(self, vcpu: Vcpu) -> None:
        """A vCPU did its step."""
        if self._on_step is not None:
            self._on_step(vcpu)

    def _stops_of(self) -> dict[int, VcpuStops]:
        if not self._stops:
            self._stops = {
                thread.vcpu.number: VcpuStops(thread, self.guest.gate, self._table, self)
                for thread in self.guest.threads
            }
        return self._stops

    def _place(self, point: Point, vcpu: int) -> None:
        if point.kind is Kind.SOFTWARE:
            self.patches.insert(point, self.guest.vcpus[vcpu].translate(point.address))
            return
        slots = self._table.slots
        if None not in slots:
            raise BreakpointImpossible(
                point, f"a processor has {SLOTS} debug registers, and all of them are taken"
            )
        slots[slots.index(None)] = point

    def _displace(self, point: Point) -> None:
        if point.kind is Kind.SOFTWARE:
            self.patches.remove(point)
        else:
            slots = self._table.slots
            slots[slots.index(point)] = None

    def _arm(self) -> None:
        for stops in self._stops_of().values():
            stops.arm()
