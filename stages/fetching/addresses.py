"""Which URLs may be asked: http and https, at public addresses or hosts that the settings name.

aiohttp checks no address that a name resolves to and asks no resolver about literal addresses, so both are checked
here: names by the resolver, which hands the checked address to the connection, literals before they are asked.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from schemas.errors import Reject

__all__ = ["Gate", "PublicResolver", "is_public"]

NOT_PUBLIC: Final = [ipaddress.ip_network(net) for net in ("192.0.0.0/24", "fec0::/10", "64:ff9b:1::/48")]
"""Special-purpose networks (IANA registries, RFC 6890) that Python 3.11 still calls global."""
NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Tell whether an IP address is on the public internet, IPv4 inside IPv6 included; ValueError if none."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        ip = inner or ip
    special = ip.is_reserved or ip.is_multicast or any(ip in net for net in NOT_PUBLIC)
    return ip.is_global and not special


class Gate:
    """Lets URLs through, or not.

    Args:
        allow_hosts: hosts, by name or address, that may be private.
    """

    def __init__(self, allow_hosts: Collection[str]) -> None:
        self.allowed = frozenset(_plain(host) for host in allow_hosts)

    def is_named(self, host: str) -> bool:
        """Tell whether the settings name the host."""
        return _plain(host) in self.allowed

    def check(self, text: str, base: URL | None = None) -> URL:
        """Return the URL, relative to ``base``, if it may be asked; raises Reject."""
        try:
            url = base.join(URL(text)) if base else URL(text.strip())
            host = url.host
        except ValueError as error:
            raise Reject("bad_url", f"{text}: {error}") from error
        if url.scheme not in ("http", "https") or not host:
            raise Reject("bad_url", text)
        if _looks_numeric(host) and not self.is_named(host):
            try:
                public = is_public(host)
            except ValueError as error:
                raise Reject("bad_url", f"{text}: {error}") from error
            if not public:
                raise Reject("private_address", str(url))
        return url


def _looks_numeric(host: str) -> bool:
    """Tell whether aiohttp takes the host for an address and asks no resolver about it."""
    return ":" in host or host.replace(".", "").isdigit()


def _plain(host: str) -> str:
    return host.lower().strip("[]").rstrip(".")


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses only, except those of hosts that the gate's settings name.

    aiohttp connects to the address given here, so a name cannot resolve differently after the check.
    """

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.inner: AbstractResolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of ``host`` that may be asked; raises Reject where there is none."""
        try:
            found = await self.inner.resolve(host, port, family)
        except UnicodeError as error:  # a label that is too long or empty
            raise Reject("bad_url", f"{host}: {error}") from error
        if self.gate.is_named(host):
            return found
        public = [address for address in found if is_public(address["host"])]
        if found and not public:
            raise Reject("private_address", f"{host} is {found[0]['host']}")
        return public

    async def close(self) -> None:
        """Close the resolver that does the work."""
        await self.inner.close()
