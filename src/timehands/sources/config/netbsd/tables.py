"""What NetBSD's ``files.*`` define: attributes, devices, attachments, options, and files."""

from __future__ import annotations

from dataclasses import dataclass, field

from timehands.sources.config.model import Chain, Step
from timehands.sources.config.netbsd.listed import Files
from timehands.sources.config.netbsd.scanner import as_written
from timehands.sources.config.reading import Place
from timehands.sources.where import Where


@dataclass(slots=True)
class Said:
    """A line that defines something; few of them are ever told."""

    place: Place
    line: int
    source: str

    @property
    def where(self) -> Where:
        """Its place."""
        return self.place.where(self.line)

    @property
    def chain(self) -> Chain:
        """The includes that led to it, and the line."""
        return (*self.place.route, Step(self.where, as_written(self.source)))


@dataclass(slots=True)
class Defined:
    """What has a name; without ``said`` it was only mentioned so far."""

    name: str
    said: Said | None = None

    @property
    def steps(self) -> Chain:
        """The includes that led to the line that defines it, and the line; if there is one."""
        return self.said.chain if self.said is not None else ()


@dataclass(slots=True)
class Attribute(Defined):
    """An attribute: what it needs, and, for an interface, which devices may attach to it."""

    interface: bool = False
    device_class: bool = False
    needs: list[str] = field(default_factory=list)
    devices: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Attachment(Defined):
    """A way to attach a device: ``places`` are interface attributes; None stands for the root."""

    device: str = ""
    places: list[str | None] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Device(Defined):
    """A device or pseudo-device: its attributes, and its attachments in order."""

    pseudo: bool = False
    children: bool = False
    attributes: list[str] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    units: int = 0


@dataclass(slots=True)
class Option(Defined):
    """A declared option: ``kind`` is the keyword that declared it; ``needs`` what it implies."""

    kind: str = ""
    needs: list[str] = field(default_factory=list)
    obsolete: bool = False


@dataclass(slots=True)
class Tables:
    """All definitions, by name; ``options`` by their exact names, files in order."""

    attributes: dict[str, Attribute] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    attachments: dict[str, Attachment] = field(default_factory=dict)
    options: dict[str, Option] = field(default_factory=dict)
    files: Files = field(default_factory=Files)

    def units(self, name: str) -> int:
        """How many units of a device there are."""
        device = self.devices.get(name)
        return device.units if device is not None else 0

    def attribute(self, name: str) -> Attribute:
        """An attribute, mentioned now if it never was."""
        found = self.attributes.get(name)
        if found is None:
            found = self.attributes[name] = Attribute(name)
        return found

    def device(self, name: str) -> Device:
        """A device, mentioned now if it never was."""
        found = self.devices.get(name)
        if found is None:
            found = self.devices[name] = Device(name)
        return found

    def firm(self) -> None:
        """Give each device's own attribute the plain attributes that the device has."""
        for device in self.devices.values():
            own = self.attribute(device.name)
            for name in device.attributes:
                other = self.attribute(name)
                plain = not other.interface and not other.device_class
                if plain and name != device.name and name not in own.needs:
                    own.needs.append(name)
