"""Who sent a request, and what of that is believed."""

from __future__ import annotations

import asyncio

import pytest

from enigma_core.errors import ConfigError
from enigma_webhooks.front.address import TRADINGVIEW, Untraceable, client, loopback, networks, trusted_networks
from posting import Door, buy, source

PROXY = "10.0.0.7"
V6 = "2001:db8::7"
TRUSTED = networks([PROXY, "10.1.0.0/16", V6, "127.0.0.1"], "here")
REFUSED = "refused"

CASES: list[tuple[str, str, list[str], str]] = [
    # nobody is trusted but those named: a header from anybody else is air
    ("a stranger's header", "203.0.113.9", ["1.2.3.4"], "203.0.113.9"),
    ("a stranger's list", "203.0.113.9", ["1.2.3.4, 10.0.0.7"], "203.0.113.9"),
    ("a stranger's two headers", "203.0.113.9", ["1.2.3.4", "5.6.7.8"], "203.0.113.9"),
    ("a stranger's nonsense", "203.0.113.9", ["<script>"], "203.0.113.9"),
    ("a stranger's hundred hops", "203.0.113.9", [", ".join(["1.1.1.1"] * 100)], "203.0.113.9"),
    ("a stranger of IPv6", "2001:db8::bad", ["1.2.3.4"], "2001:db8::bad"),
    ("a neighbour of the proxy", "10.0.0.8", ["1.2.3.4"], "10.0.0.8"),
    ("just outside the range", "10.2.0.0", ["1.2.3.4"], "10.2.0.0"),
    ("a stranger without a header", "203.0.113.9", [], "203.0.113.9"),
    ("the proxy itself", PROXY, [], PROXY),
    ("one hop", PROXY, ["1.2.3.4"], "1.2.3.4"),
    ("one hop, by the range", "10.1.200.3", ["1.2.3.4"], "1.2.3.4"),
    ("the range's first", "10.1.0.0", ["1.2.3.4"], "1.2.3.4"),
    ("the range's last", "10.1.255.255", ["1.2.3.4"], "1.2.3.4"),
    ("by IPv6", V6, ["1.2.3.4"], "1.2.3.4"),
    ("by IPv6 written at length", "2001:0db8:0000:0000:0000:0000:0000:0007", ["1.2.3.4"], "1.2.3.4"),
    ("the proxy as IPv4 in IPv6", f"::ffff:{PROXY}", ["1.2.3.4"], "1.2.3.4"),
    ("what he claims before", PROXY, ["9.9.9.9, 1.2.3.4"], "1.2.3.4"),
    ("what he claims as trusted", PROXY, [f"{PROXY}, 1.2.3.4"], "1.2.3.4"),
    ("TradingView's, claimed", PROXY, [f"{TRADINGVIEW[0]}, 1.2.3.4"], "1.2.3.4"),
    ("two trusted hops", PROXY, ["1.2.3.4, 10.1.0.5"], "1.2.3.4"),
    ("claimed before two trusted hops", PROXY, ["9.9.9.9, 1.2.3.4, 10.1.0.5"], "1.2.3.4"),
    ("all trusted: the first of them", PROXY, ["10.1.0.5, 10.1.0.6"], "10.1.0.5"),
    ("two headers, the last counts", PROXY, ["9.9.9.9", "1.2.3.4"], "1.2.3.4"),
    ("two headers, trusted last", PROXY, ["1.2.3.4", "10.1.0.5"], "1.2.3.4"),
    ("a port", PROXY, ["1.2.3.4:5678"], "1.2.3.4"),
    ("IPv6", PROXY, ["2001:db8::1"], "2001:db8::1"),
    ("IPv6 in brackets", PROXY, ["[2001:db8::1]"], "2001:db8::1"),
    ("IPv6 with a port", PROXY, ["[2001:db8::1]:443"], "2001:db8::1"),
    ("IPv4 in IPv6", PROXY, ["::ffff:1.2.3.4"], "1.2.3.4"),
    ("blanks", PROXY, ["  1.2.3.4  ,  10.1.0.5 "], "1.2.3.4"),
    ("five hops", PROXY, ["5.5.5.5, 4.4.4.4, 3.3.3.3, 2.2.2.2, 1.2.3.4"], "1.2.3.4"),
    ("six hops", PROXY, ["6.6.6.6, 5.5.5.5, 4.4.4.4, 3.3.3.3, 2.2.2.2, 1.2.3.4"], REFUSED),
    ("six hops in two headers", PROXY, ["6.6.6.6, 5.5.5.5, 4.4.4.4", "3.3.3.3, 2.2.2.2, 1.2.3.4"], REFUSED),
    ("a name", PROXY, ["localhost"], REFUSED),
    ("unknown", PROXY, ["unknown"], REFUSED),
    ("nothing", PROXY, [""], REFUSED),
    ("an end without a hop", PROXY, ["1.2.3.4,"], REFUSED),
    ("a number too large", PROXY, ["1.2.3.444"], REFUSED),
    ("letters of another alphabet", PROXY, ["1.2.3.\xb2"], REFUSED),
    ("markup", PROXY, ["<b>1.2.3.4</b>"], REFUSED),
    ("rubbish behind a bracket", PROXY, ["[2001:db8::1]x"], REFUSED),
]


@pytest.mark.parametrize(("what", "peer", "forwarded", "expected"), CASES, ids=[case[0] for case in CASES])
def test_i25_the_client_is_whom_the_last_trusted_proxy_saw(what: str, peer: str, forwarded: list[str], expected: str) -> None:
    given = [line.encode("latin-1") for line in forwarded]
    if expected == REFUSED:
        with pytest.raises(Untraceable):
            client(peer, given, TRUSTED)
    else:
        assert str(client(peer, given, TRUSTED)) == expected


def test_i25_with_nobody_trusted_no_header_is_read() -> None:
    for _, peer, forwarded, _ in CASES:
        found = client(peer, [line.encode("latin-1") for line in forwarded], ())
        assert str(found) == str(client(peer, [], ()))


def test_i25_forwarded_and_x_real_ip_are_never_believed() -> None:
    door = Door(sources={"tradingview": source("tradingview", allow=networks(TRADINGVIEW, "here"))}, trusted=TRUSTED)
    for name, value in (("Forwarded", f"for={TRADINGVIEW[0]}"), ("X-Real-IP", TRADINGVIEW[0]), ("True-Client-IP", TRADINGVIEW[0])):
        for peer in ("203.0.113.9", PROXY):
            answer = asyncio.run(door.post(buy(), peer=peer, headers={name: value}))
            assert answer.status == 403
    assert not door.desk.alerts


def test_only_the_addresses_allowed_get_in_and_they_are_no_substitute_for_the_secret() -> None:
    door = Door(sources={"tradingview": source("tradingview", allow=networks(TRADINGVIEW, "here"))}, trusted=TRUSTED)

    async def sent() -> list[int]:
        through = {"X-Forwarded-For": TRADINGVIEW[1]}
        return [
            (await door.post(buy(), peer="203.0.113.9")).status,
            (await door.post(buy(), peer=PROXY, headers={"X-Forwarded-For": "203.0.113.9"})).status,
            (await door.post(buy(), peer=PROXY, headers=through)).status,
            (await door.post(buy(secret="wrong"), peer=PROXY, headers=through)).status,
        ]

    assert asyncio.run(sent()) == [403, 403, 200, 401]


def test_an_untraceable_way_is_a_bad_request() -> None:
    answer = asyncio.run(Door(trusted=TRUSTED).post(buy(), peer=PROXY, headers={"X-Forwarded-For": "nonsense"}))
    assert answer.status == 400


@pytest.mark.parametrize("everybody", ["*", "0.0.0.0/0", "::/0", " * ", "1.2.3.4/0"])
def test_everybody_cannot_be_trusted(everybody: str) -> None:
    with pytest.raises(ConfigError, match=r"trusted_proxies has .*everybody could claim any address"):
        trusted_networks(["10.0.0.1", everybody], "services.tradingview.trusted_proxies")


def test_what_is_no_address_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"allow has 'tradingview\.com'; it must be an address or a range"):
        networks(["tradingview.com"], "allow")


@pytest.mark.parametrize(("host", "here"), [("127.0.0.1", True), ("::1", True), ("[::1]", True), ("localhost", True)])
def test_this_machine_is_known(host: str, here: bool) -> None:
    assert loopback(host) is here
    assert not loopback("0.0.0.0")
    assert not loopback("example.org")
