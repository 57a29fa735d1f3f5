"""Which addresses are refused as they are written, and which ones a name may lead to."""

import socket
from collections.abc import Sequence
from typing import Any

import httpcore
import pytest

from shared import outbound

REFUSED = [
    # not https, or no address at all
    "http://hooks.example.com/cfar",
    "ftp://hooks.example.com/",
    "file:///etc/passwd",
    "gopher://hooks.example.com/",
    "javascript:alert(1)",
    "//hooks.example.com/",
    "hooks.example.com",
    "https://",
    "https:///cfar",
    "https://:443/",
    "",
    "https://hooks.example.com/a b",
    "https://hooks.example.com/\r\nX-Injected: 1",
    "https://hooks.example.com/\x00",
    "https://hooks.example.com\\@127.0.0.1/",
    "https://" + "a" * 2050 + ".example.com/",
    # somebody's name or password, or what never reaches the server
    "https://user@hooks.example.com/",
    "https://user:pass@hooks.example.com/",
    "https://hooks.example.com@127.0.0.1/",
    "https://@hooks.example.com/",
    "https://hooks.example.com/#fragment",
    # other protocols' ports
    "https://hooks.example.com:0/",
    "https://hooks.example.com:22/",
    "https://hooks.example.com:25/",
    "https://hooks.example.com:80/",
    "https://hooks.example.com:65536/",
    "https://hooks.example.com:-1/",
    # IPv4 addresses that are not public
    "https://127.0.0.1/",
    "https://127.1.2.3/",
    "https://0.0.0.0/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/",
    "https://100.127.255.255/",
    "https://192.0.0.8/",
    "https://192.0.2.1/",
    "https://192.88.99.1/",
    "https://198.18.0.1/",
    "https://198.51.100.1/",
    "https://203.0.113.1/",
    "https://224.0.0.1/",
    "https://239.255.255.250/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    # the same in other spellings, and public ones that are not plain
    "https://127.1/",
    "https://127.0.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0X7F.1/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://127.0.0.01/",
    "https://127.0.0.1./",
    "https://134744072/",
    "https://08.08.08.08/",
    "https://1.1.1.256/",
    "https://1.2.3.4.5/",
    "https://hooks.example.123/",
    "https://%31%32%37.0.0.1/",
    "https://\uff11\uff12\uff17.0.0.1/",
    "https://127\u30020\u30020\u30021/",
    "https://\u24dbocalhost/",
    # IPv6 addresses that are not public, or carry another inside
    "https://[::1]/",
    "https://[::]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fc00::1]/",
    "https://[fd12:3456:789a::1]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[100::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::ffff:8.8.8.8]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b::10.0.0.1]/",
    "https://[64:ff9b:1::a00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:0a00:0001::1]/",
    "https://[2001::1]/",
    "https://[2001:db8::1]/",
    "https://[3fff::1]/",
    "https://[4000::1]/",
    "https://[127.0.0.1]/",
    # names of the inside
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://hooks.localhost/",
    "https://redis/",
    "https://postgres:5432/",
    "https://metadata.google.internal/",
    "https://printer.local/",
    "https://router.home.arpa/",
    "https://-hooks.example.com/",
    "https://hooks..example.com/",
    "https://*.example.com/",
]

ALLOWED = [
    "https://hooks.example.com/cfar",
    "https://hooks.example.com",
    "https://hooks.example.com./cfar",
    "https://HOOKS.Example.com:443/cfar?shop=1&at=@here",
    "https://hooks.example.com:1024/",
    "https://hooks.example.com:65535/",
    "https://xn--bcher-kva.example/",
    "https://my_hooks.example.com/",
    "https://0x1.example.com/",
    "https://8.8.8.8/",
    "https://172.32.0.1/",
    "https://100.128.0.1/",
    "https://[2606:4700:4700::1111]/",
    "https://[2001:4860:4860::8888]:8443/",
]


def _name(url: str) -> str:
    return ascii(url)[1:60]


@pytest.mark.parametrize("url", REFUSED, ids=_name)
def test_an_address_that_may_lead_inside_is_refused(url: str) -> None:
    assert outbound.fault(url) is not None


@pytest.mark.parametrize("url", ALLOWED, ids=_name)
def test_a_public_address_is_taken(url: str) -> None:
    assert outbound.fault(url) is None


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8080/", "http://localhost:8080/hook", "https://127.0.0.1/", "http://[::1]:9000/"],
    ids=_name,
)
def test_this_machine_is_taken_where_the_setting_allows_it(url: str) -> None:
    assert outbound.fault(url, allows_loopback=True) is None
    assert outbound.fault(url) is not None


@pytest.mark.parametrize(
    "url",
    [
        *("http://hooks.example.com/", "http://10.0.0.1:8080/", "http://169.254.169.254/", "http://0.0.0.0:8080/"),
        *("http://127.1:8080/", "http://user@127.0.0.1:8080/", "http://127.0.0.1:22/", "http://[::ffff:7f00:1]:8080/"),
    ],
    ids=_name,
)
def test_the_setting_allows_this_machine_and_nothing_else(url: str) -> None:
    assert outbound.fault(url, allows_loopback=True) is not None


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Hooks.Example.com/a?b=c", "https://hooks.example.com:443"),
        ("https://hooks.example.com:443/", "https://hooks.example.com:443"),
        ("https://hooks.example.com./", "https://hooks.example.com:443"),
        ("https://[2606:4700::1]:8443/x", "https://[2606:4700::1]:8443"),
        ("http://127.0.0.1:8080/hook", "http://127.0.0.1:8080"),
    ],
    ids=_name,
)
def test_one_endpoint_has_one_origin(url: str, origin: str) -> None:
    assert outbound.origin(url) == origin


def _resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let every name lead to these addresses; return the names that were looked up."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **_how: Any) -> Sequence[Any]:
        asked.append(host)
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
            for one in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_every_address_a_name_leads_to_is_returned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _resolving(monkeypatch, "93.184.216.34", "93.184.216.34", "2606:4700::1")

    assert outbound.look_up_for(allows_loopback=False)("hooks.example.com", 443) == ["93.184.216.34", "2606:4700::1"]
    assert asked == ["hooks.example.com"]


@pytest.mark.parametrize(
    "addresses",
    [
        *(["127.0.0.1"], ["10.1.2.3"], ["169.254.169.254"], ["::1"], ["fe80::1%eth0"], ["fd00::1"], ["0.0.0.0"]),
        *(["::ffff:10.0.0.1"], ["64:ff9b::a00:1"], ["93.184.216.34", "10.0.0.1"], ["93.184.216.34", "::1"], []),
    ],
    ids=lambda addresses: "+".join(addresses) or "none",
)
def test_one_address_inside_is_enough_to_send_nothing(addresses: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    _resolving(monkeypatch, *addresses)

    for allows_loopback in (False, True):
        with pytest.raises(httpcore.ConnectError) as raised:
            outbound.look_up_for(allows_loopback=allows_loopback)("hooks.example.com", 443)
        assert not any(address in str(raised.value) for address in addresses)


def test_this_machines_name_must_lead_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolving(monkeypatch, "10.0.0.1")

    with pytest.raises(httpcore.ConnectError):
        outbound.look_up_for(allows_loopback=True)("localhost", 8080)


def test_a_name_that_cannot_be_looked_up_is_a_failure_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_asked: Any, **_how: Any) -> Sequence[Any]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(httpcore.ConnectError):
        outbound.look_up_for(allows_loopback=False)("hooks.example.com", 443)
