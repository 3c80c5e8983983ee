"""Which addresses count as the public internet."""

from __future__ import annotations

import pytest

from stages.fetching.addresses import is_public


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "127.8.9.1", "169.254.169.254", "100.100.100.200", "192.0.0.192", "0.0.0.0", "224.0.0.1",
     "240.0.0.1", "::1", "::", "fe80::1%eth0", "fd00:ec2::254", "ff02::1", "::ffff:10.0.0.1", "2002:7f00:1::",
     "64:ff9b::7f00:1", "64:ff9b:1::1"],
)
def test_special_addresses_are_not_public(address: str) -> None:
    """Private, local and special networks are not the internet, nor IPv6 addresses that hold one."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_internet_addresses_are_public(address: str) -> None:
    """Ordinary addresses may be asked, through NAT64 too."""
    assert is_public(address)
