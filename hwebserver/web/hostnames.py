"""Names of hosts: what a list of them allows, and which mean this machine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Optional

from ..errors import OperationFailed, ProtocolError
from ..protocol.paths import split_authority
from ..protocol.target import check_authority


class HostPattern(NamedTuple):
    """One entry of a list of hosts.

    Attributes:
        name: The host, or the domain; empty: every host.
        port: The port it must be asked for at; None: any.
        itself: Whether the host of that name is meant.
        below: Whether its subdomains are.
    """

    name: str
    port: Optional[int] = None
    itself: bool = True
    below: bool = False

    def matches(self, name: str, port: int) -> bool:
        """Say whether a host is meant.

        Args:
            name: Its name, as ``canonical_host`` returns it.
            port: Its port.
        """
        if self.port is not None and self.port != port:
            return False
        if not self.name or (self.itself and name == self.name):
            return True
        return self.below and name.endswith("." + self.name)


def parse_hosts(setting: str, texts: Iterable[str]) -> tuple[HostPattern, ...]:
    """Read a list of hosts, as Django has them in ALLOWED_HOSTS.

    ``example.com`` is that host, ``.example.com`` that and its subdomains, ``*.example.com`` these
    alone, and ``*`` every host. Each may have a port.

    Args:
        setting: The name of the list, for the message.
        texts: Its entries.

    Raises:
        OperationFailed: one of them is no host.
    """
    return tuple(_parse_host(setting, text) for text in texts)


def _parse_host(setting: str, text: str) -> HostPattern:
    rest, itself, below = text, True, False
    if text.count(":") > 1 and not text.startswith("["):
        rest = f"[{text}]"  # An IPv6 address as people write it.
    elif text.startswith("*."):
        rest, itself, below = text[2:], False, True
    elif text.startswith("."):
        rest, below = text[1:], True
    elif text.partition(":")[0] == "*":
        rest = "any" + text[1:]
    try:
        name, port = split_authority(check_authority(rest))
    except ProtocolError as error:
        raise OperationFailed(
            f"{setting} holds {text!r}, which is no host: example.com is one, .example.com has "
            "its subdomains too, *.example.com has these alone, * is every host"
        ) from error
    name = "" if text[0] == "*" and itself else canonical_host(name)
    return HostPattern(name, port, itself, below)


def canonical_host(name: str) -> str:
    """Return a host that is one in the spelling in which equal ones are equal.

    Args:
        name: The host without its port; an IPv6 address in its brackets.
    """
    lower = name.lower()
    if lower[:1] == "[":
        from ipaddress import IPv6Address

        return f"[{IPv6Address(lower[1:-1])}]"
    return lower.rstrip(".") or lower  # A dot at the end is the root of all names.


def is_address(name: str) -> bool:
    """Say whether a host is an address: nobody can have a name lead elsewhere then."""
    if name[:1] == "[":
        return True
    parts = name.split(".")
    return len(parts) == 4 and all(
        part.isascii() and part.isdecimal() and len(part) <= 3 and int(part) <= 255
        for part in parts
    )


def machine_names(name: str) -> frozenset[str]:
    """Return the names that a machine goes by in its own network.

    Args:
        name: What the system calls it.
    """
    own = name.lower().rstrip(".")
    short = own.partition(".")[0]
    return frozenset((own, short, f"{short}.local")) if short else frozenset()
