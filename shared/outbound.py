"""Which addresses of other people's choosing we send to: public ones, over https, never into our own network.

An address is looked at twice: as it is written, when it is accepted; and where its name leads, when we connect.
"""

import ipaddress
import re
import socket
from collections.abc import Callable

import httpcore
import httpx

MAX_URL = 2048
"""Characters; what the row holds."""
HTTPS_PORT = 443
FIRST_FREE_PORT = 1024
"""Ports below it belong to other protocols: mail, shells, databases' neighbours."""

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_INTERNAL = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "localdomain", "home.arpa", "onion")
"""Names that are nobody's in public; what else leads inside is seen when it is looked up."""
_PUBLIC_IPV6 = ipaddress.ip_network("2000::/3")
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        # protocols of the IETF with Teredo, documentation, 6to4: the last and Teredo carry an IPv4 address inside
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
)


def fault(url: str, *, allows_loopback: bool = False) -> str | None:
    """Say what is wrong with an address as it is written; None when nothing is."""
    if not re.fullmatch(rf"[!-~]{{1,{MAX_URL}}}", url) or "\\" in url:
        return f"must be 1 to {MAX_URL} visible ASCII characters without a backslash; write other names in punycode"
    try:
        parsed = httpx.URL(url)
        host, port = parsed.raw_host.decode("ascii").lower(), parsed.port
    except (httpx.InvalidURL, ValueError):
        return "must be an https:// address"
    is_ours = allows_loopback and is_loopback_host(host)
    if parsed.scheme != "https" and not (is_ours and parsed.scheme == "http"):
        return "must be an https:// address"
    if parsed.userinfo or "@" in url.partition("://")[2].split("/")[0]:
        return "must not hold a user or a password"
    if parsed.fragment or "#" in url:
        return "must not hold a fragment"
    if port is not None and port != HTTPS_PORT and not FIRST_FREE_PORT <= port <= 65_535:
        return f"must name port {HTTPS_PORT}, or one from {FIRST_FREE_PORT} on"
    return None if is_ours else _fault_of_host(host)


def origin(url: str) -> str:
    """Return the scheme, host and port of an address that was accepted."""
    parsed = httpx.URL(url)
    host = parsed.raw_host.decode("ascii").lower().removesuffix(".")
    port = parsed.port or (HTTPS_PORT if parsed.scheme == "https" else 80)
    return f"{parsed.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public internet's; one that carries another inside never is."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if found.version == 6 and found not in _PUBLIC_IPV6:
        return False
    return not any(found in network for network in _NOT_PUBLIC if network.version == found.version)


def is_loopback_host(host: str) -> bool:
    """Tell whether a host is this machine by its plain name or address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def look_up_for(*, allows_loopback: bool) -> Callable[[str, int], list[str]]:
    """Return how a connection finds its addresses: looked up once, all of them public, and then connected to.

    A second look-up might be told something else; with none, whoever runs the name's server cannot send us inside.
    """

    def look_up(host: str, port: int) -> list[str]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("the name of its host cannot be looked up") from error
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        is_ours = allows_loopback and is_loopback_host(host)
        if not addresses or not all(is_loopback_host(one) if is_ours else is_public(one) for one in addresses):
            # Where the name leads is not told: that would show an outsider what our network looks like.
            raise httpcore.ConnectError("its host leads to an address that is not public")
        return addresses

    return look_up


def _fault_of_host(host: str) -> str | None:
    if ":" in host:
        return None if is_public(host) else "must not lead to an address that is not public"
    name = host.removesuffix(".")
    last = name.rpartition(".")[2]
    if _NUMBER.fullmatch(last):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            return "must write an IPv4 address as four decimal numbers"
        return None if is_public(host) else "must not lead to an address that is not public"
    if len(name) > 253 or not _NAME.fullmatch(name):
        return "must name a host"
    if "." not in name or any(name == inside or name.endswith(f".{inside}") for inside in _INTERNAL):
        return "must name a host of the public internet"
    return None
