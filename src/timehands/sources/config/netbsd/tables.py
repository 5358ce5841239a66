"""What NetBSD's ``files.*`` define: attributes, devices, attachments, options, and files."""

from __future__ import annotations

from dataclasses import dataclass, field

from timehands.sources.config.model import Chain, Rule, Step


@dataclass(slots=True)
class Attribute:
    """An attribute: what it needs, and, for an interface, which devices may attach to it.

    One that was only mentioned so far has no ``steps``.
    """

    name: str
    steps: Chain = ()
    interface: bool = False
    device_class: bool = False
    needs: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Attachment:
    """A way to attach a device: ``places`` are interface attributes; None stands for the root."""

    name: str
    device: str
    places: list[str | None]
    attributes: list[str]
    steps: Chain


@dataclass(slots=True)
class Device:
    """A device or pseudo-device: its attributes, and its attachments in order."""

    name: str
    steps: Chain = ()
    pseudo: bool = False
    children: bool = False
    attributes: list[str] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    units: int = 0


@dataclass(slots=True)
class Option:
    """A declared option: ``kind`` is the keyword that declared it; ``needs`` what it implies."""

    name: str
    kind: str
    header: str
    needs: list[str]
    steps: Chain
    obsolete: bool = False


@dataclass(slots=True)
class Tables:
    """All definitions, by name; ``options`` by their exact names, files in order."""

    attributes: dict[str, Attribute] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    attachments: dict[str, Attachment] = field(default_factory=dict)
    options: dict[str, Option] = field(default_factory=dict)
    files: dict[str, Rule] = field(default_factory=dict)
    counted: set[str] = field(default_factory=set)

    def attribute(self, name: str) -> Attribute:
        """An attribute, mentioned now if it never was."""
        found = self.attributes.get(name)
        if found is None:
            found = self.attributes[name] = Attribute(name)
        return found

    def device(self, name: str) -> Device:
        """A device, mentioned now if it never was."""
        return self.devices.setdefault(name, Device(name))

    def firm(self) -> None:
        """Give each device's own attribute the plain attributes that the device has."""
        for device in self.devices.values():
            own = self.attribute(device.name)
            for name in device.attributes:
                other = self.attribute(name)
                plain = not other.interface and not other.device_class
                if plain and name != device.name and name not in own.needs:
                    own.needs.append(name)


def step(chain: Chain) -> Step:
    """The last link of a chain, which is the line itself."""
    return chain[-1]
