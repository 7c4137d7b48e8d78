"""Prose: a word that may turn an action round refuses it."""

from __future__ import annotations

import pytest

from enigma_webhooks.alerts import read
from enigma_webhooks.alerts.reader import understood


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("do not buy BTCUSDT", "do"),
        ("don't buy SOLUSDT", "don't"),
        ("don’t buy SOLUSDT", "don’t"),
        ("no long ETHUSDT", "no"),
        ("never short SOLUSDT", "never"),
        ("never SOLUSDT short", "never"),
        ("BTCUSDT long stopped out", "stopped"),
        ("Long position closed BTCUSDT", "closed"),
        ("closed BTCUSDT long", "closed"),
        ("take profit long BTCUSDT", "take"),
        ("BTCUSDT sell signal invalidated", "invalidated"),
        ("BTCUSDT crossed 50000, buy?", "crossed"),
        ("buy BTCUSDT?", "BTCUSDT?"),
        ("BTCUSDT: buy ?", "?"),
        ("BUY BTCUSDT\nnot yet", "not"),
        ("不 buy BTCUSDT", "不"),
        ("pos 0.5 BTCUSDT closed", "closed"),
        ('{"message":"do not buy BTCUSDT"}', "do"),
        ("don't panic", "don't"),
    ],
)
def test_a_word_nobody_knows_beside_an_action_refuses_it_by_name(text: str, word: str) -> None:
    (reading,) = understood(text)
    assert not reading.ok
    assert reading.status == 422
    assert repr(word) in (reading.error or "")
    assert "stands beside" in (reading.error or "")


@pytest.mark.parametrize(
    "text",
    [
        "BUY signal for BTCUSDT now!",
        "New alert on BTCUSDT, strategy order: sell at market price",
        "BTCUSDT 15m buy",
        "🚀 LONG #BTCUSDT 🚀",
        "BUY BTCUSDT 2026-01-31T12:00:07Z",
        "symbol=BTCUSDT action=buy comment=it did not cross",
        "symbol=BTCUSDT;action=buy;comment=do not close",
        "acct BTCUSDT.P pos 0.5 x3",
    ],
)
def test_fillers_and_texts_of_pairs_change_nothing(text: str) -> None:
    (reading,) = read(text)
    assert (reading.ok, reading.asks) == (True, True), reading.error


def test_tradingviews_own_proposal_may_have_a_line_with_the_secret_below_it() -> None:
    (reading,) = read("X (1, 2): order buy @ 0.75 filled on BTCUSDT.P. New strategy position is 0.25\nsecret=abcd-efgh")
    assert reading.request is not None
    assert (reading.side, reading.secret) == ("long", "abcd-efgh")
    assert str(reading.request.position_size) == "0.25"
