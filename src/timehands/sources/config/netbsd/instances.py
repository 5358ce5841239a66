"""Devices that a configuration asks for, and which of them have something to attach to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from timehands.sources.config.model import Chain
from timehands.sources.config.netbsd.scanner import Malformed
from timehands.sources.config.netbsd.tables import Attachment, Device, Tables

_UNIT = re.compile(r"([A-Za-z_]\w*?)([0-9]{1,9}|\*|\?)$")
_ANY = ("?", "*")
#: Devices attach to each other no deeper than this.
_DEEPEST = 200


@dataclass(slots=True)
class Instance:
    """``com0 at isa? port 0x3f8``: a device, its unit, and what it attaches to.

    ``interface`` is the attribute (None at the root), ``parent`` the device that was named, if a
    device was.
    """

    device: Device
    unit: str
    at: str
    attachment: Attachment
    interface: str | None
    parent: str | None
    parent_unit: str
    chain: Chain
    active: bool = False

    @property
    def name(self) -> str:
        """As it is written: ``com0 at isa?``."""
        return f"{self.device.name}{self.unit} at {self.at}"


def split(name: str) -> tuple[str, str]:
    """``com0`` as ``com`` and ``0``; ``uhub*``, ``pci?`` alike. Raises `Malformed`."""
    match = _UNIT.match(name)
    if match is None:
        raise Malformed(f"{name!r} is no device with a unit")
    return match.group(1), match.group(2)


@dataclass(slots=True)
class Instances:
    """The devices of a configuration, in order."""

    tables: Tables
    all: list[Instance] = field(default_factory=list)
    gone: list[Instance] = field(default_factory=list)
    pseudo: dict[str, Chain] = field(default_factory=dict)

    def add(self, name: str, at: str, chain: Chain) -> Instance:
        """Add a device. Raises `Malformed` when it cannot attach there."""
        base, unit = split(name)
        device = self.tables.devices.get(base)
        if device is None or device.said is None:
            raise Malformed(f"{name}: there is no device {base}")
        if device.pseudo:
            raise Malformed(f"{base} is a pseudo-device")
        device.units = max(device.units, int(unit) + 1 if unit.isdigit() else 1)
        instance = self._attached(device, unit, at, chain)
        self.all.append(instance)
        return instance

    def _attached(self, device: Device, unit: str, at: str, chain: Chain) -> Instance:
        if at == "root":
            attachment = _at(device, None)
            return Instance(device, unit, at, attachment, None, None, "?", chain)
        try:
            parent, parent_unit = split(at)
        except Malformed:
            parent, parent_unit = at, "?"
        interface = self._interface(device, parent)
        owner = parent if parent in self.tables.devices else None
        attachment = _at(device, interface)
        return Instance(device, unit, at, attachment, interface, owner, parent_unit, chain)

    def _interface(self, device: Device, parent: str) -> str:
        """The attribute by which a device attaches to what was named: itself, or one it has."""
        own = self.tables.attributes.get(parent)
        if own is not None and device.name in own.devices:
            return parent
        owner = self.tables.devices.get(parent)
        if owner is None:
            raise Malformed(f"{device.name} at {parent}: {parent} is unknown")
        for name in owner.attributes:
            attribute = self.tables.attributes.get(name)
            if attribute is not None and device.name in attribute.devices:
                return name
        raise Malformed(f"{device.name} cannot attach to {parent}")

    def remove(self, name: str, at: str | None) -> list[Instance]:
        """Take away ``name`` (all its units if it has none), everywhere or only ``at`` a place."""
        try:
            base, unit = split(name)
        except Malformed:
            base, unit = name, ""
        if base not in self.tables.devices and name in self.tables.devices:
            base, unit = name, ""
        gone = [
            one
            for one in self.all
            if one.device.name == base and unit in ("", one.unit) and at in (None, one.at)
        ]
        self._drop(gone)
        return gone

    def remove_at(self, at: str) -> list[Instance]:
        """Take away every device at a place: ``no device at pci?``."""
        gone = [one for one in self.all if at in (one.at, one.interface, one.parent)]
        if at in self.tables.devices and at not in {one.at for one in gone}:
            gone = [one for one in gone if one.parent == at]
        self._drop(gone)
        return gone

    def _drop(self, gone: list[Instance]) -> None:
        leaving = {id(one) for one in gone}
        self.all = [one for one in self.all if id(one) not in leaving]
        self.gone += gone
        for device in {id(one.device): one.device for one in gone}.values():
            left = [one.unit for one in self.all if one.device is device]
            device.units = max((int(u) + 1 if u.isdigit() else 1 for u in left), default=0)

    def activate(self) -> tuple[list[Instance], list[Instance]]:
        """Find what can attach, from the root on.

        Returns what cannot: because what it would attach to was taken away, and for no such reason.
        """
        orphans = self._spread(self.all, self.all)
        everything = [*self.all, *self.gone]
        active = {id(one) for one in everything if one.active}
        lost = self._spread([*orphans, *self.gone], everything)
        for one in everything:
            one.active = id(one) in active
        unexplained = {id(one) for one in lost}
        return (
            [one for one in orphans if id(one) not in unexplained],
            [one for one in orphans if id(one) in unexplained],
        )

    def _spread(self, waiting: list[Instance], among: list[Instance]) -> list[Instance]:
        """Mark as active what attaches to the root or to what is active; returns the others."""
        providers = self._providers()
        units: dict[str, set[str]] = {name: {"*"} for name in self.pseudo}
        for one in among:
            if one.active:
                units.setdefault(one.device.name, set()).add(one.unit)
        for _ in range(_DEEPEST):
            changed, left = False, list[Instance]()
            for one in waiting:
                if _can_attach(one, providers, units):
                    one.active = changed = True
                    units.setdefault(one.device.name, set()).add(one.unit)
                else:
                    left.append(one)
            waiting = left
            if not changed:
                break
        return waiting

    def _providers(self) -> dict[str, list[str]]:
        """Which devices carry each interface attribute."""
        found: dict[str, list[str]] = {}
        for device in self.tables.devices.values():
            for name in device.attributes:
                found.setdefault(name, []).append(device.name)
        return found

    def active_devices(self) -> set[str]:
        """The names of the devices of which at least one can attach."""
        return {one.device.name for one in self.all if one.active} | set(self.pseudo)


def _can_attach(one: Instance, providers: dict[str, list[str]], units: dict[str, set[str]]) -> bool:
    if one.interface is None:
        return True
    parents = providers.get(one.interface, [])
    if one.parent is not None:
        parents = [name for name in parents if name == one.parent]
    wanted = one.parent_unit
    return any(
        wanted in _ANY or "*" in units[name] or wanted in units[name]
        for name in parents
        if name in units
    )


def _at(device: Device, interface: str | None) -> Attachment:
    for attachment in device.attachments:
        if interface in attachment.places:
            return attachment
    raise Malformed(f"{device.name} cannot attach to {interface or 'the root'}")
