"""What each address may ask of the control port, counted without a relay around it."""

from __future__ import annotations

from wsproxy.relay import access


def test_each_address_has_a_limit_of_its_own_and_gets_it_back_with_time() -> None:
    rates = access.Rates()
    burst = 2 * access.REQUESTS_PER_SECOND
    assert sum(rates.request("10.0.0.1", 0.0) for _ in range(burst + 50)) == burst
    assert rates.request("10.0.0.2", 0.0)
    assert not rates.request("10.0.0.1", 0.0005)
    assert sum(rates.request("10.0.0.1", 0.5) for _ in range(burst)) == access.REQUESTS_PER_SECOND // 2
    rates.received("10.0.0.3", 3 * access.BYTES_PER_SECOND, 1.0)
    assert not rates.request("10.0.0.3", 2.5)
    assert rates.request("10.0.0.3", 3.5)
    assert rates.request("2001:db8::1", 4.0)
    rates.received("2001:db8:0:0:1::", 2 * access.BYTES_PER_SECOND, 4.0)  # one machine has a whole /64


def test_what_is_remembered_of_addresses_is_bounded() -> None:
    rates = access.Rates()
    for n in range(5_000):
        rates.request(f"10.{n >> 8 & 255}.{n & 255}.1", float(n))
    assert len(rates._left) <= 1_024
