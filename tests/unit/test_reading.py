"""What a journal says to those who only read."""

from __future__ import annotations

import os
import sqlite3
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from enigma_core import database
from enigma_core.errors import HomeError
from enigma_core.journal import Journal
from enigma_core.model import Blocked, ExternalSeen, StateSet
from enigma_core.reading import Reader, fold, journal_path
from ledger import SYMBOL, decision, entry, fill, marked, started, stop, stopped_out, trade

ROUND = [[decision(1), entry(1)], [fill(1), stop(1)], [msgspec.structs.replace(stopped_out(1), fee=Decimal("0.7128")), trade(1)]]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    with Journal.open(tmp_path / "paper.sqlite", "paper", "synthetic seed=1") as opened:
        yield opened


def write(journal: Journal, *steps: list[object]) -> Path:
    for step in steps:
        journal.write(step, step[0].ts)
    journal.flush()
    return journal.path


def test_status_is_the_fold_of_the_records(journal: Journal) -> None:
    path = write(journal, [started()], *ROUND, [decision(7), entry(7)], [fill(7), stop(7)], [marked(9, price="50100.0")])
    with Reader(path) as reader:
        s = reader.status()
    assert (s["mode"], s["state"], s["halted"], s["market"]) == ("paper", "ACTIVE", False, "synthetic seed=1")
    assert s["cash"] == Decimal("10000") - Decimal("13.4328") - Decimal("0.72")
    assert s["equity"] == s["cash"] + Decimal("2.4")
    counts = ("open_positions", "working_orders", "trades", "decisions", "alerts", "losses_in_row")
    assert [s[name] for name in counts] == [1, 1, 1, 2, 0, 1]
    assert s["last_ts"] == 9
    (held,) = s["held"]
    assert (held["symbol"], held["side"], held["stop"], held["unrealised"]) == (SYMBOL, "long", Decimal("49500.0"), Decimal("2.4"))


def test_status_of_an_account_that_has_not_traded(journal: Journal) -> None:
    path = write(journal, [started(cash="250")])
    with Reader(path) as reader:
        s = reader.status()
    assert (s["equity"], s["cash"], s["trades"], s["held"]) == (Decimal(250), Decimal(250), 0, [])
    assert journal.last_ts is None


def test_what_is_held_beside_our_own_is_told_with_its_side_and_size(journal: Journal) -> None:
    seen = ExternalSeen(ts=3, symbol=SYMBOL, side=-1, quantity=Decimal(68), price=Decimal("4378.17"), margin=Decimal(40))
    path = write(journal, [started()], [seen])
    with Reader(path) as reader:
        s = reader.status()
    assert s["external"] == [SYMBOL]
    assert s["beside"] == [{"symbol": SYMBOL, "side": "short", "quantity": Decimal(68), "price": Decimal("4378.17")}]


def test_a_halt_is_shown_with_its_reason(journal: Journal) -> None:
    path = write(journal, [started()], [StateSet(ts=3, state="HALTED", reason="by hand")])
    with Reader(path) as reader:
        s = reader.status()
    assert (s["state"], s["halted"], s["reason"]) == ("HALTED", True, "by hand")


def test_why_nothing_is_entered_is_shown_until_it_is_over_or_another_run_begins(journal: Journal) -> None:
    def blocked(symbol: str, reason: str, by: str = "venue") -> Blocked:
        return Blocked(ts=3, symbol=symbol, reason=reason, by=by)

    told = [blocked("", "no answer"), blocked(SYMBOL, "paused"), blocked("", "no price", "pulse"), blocked("", "")]
    path = write(journal, [started()], told)
    with Reader(path) as reader:
        assert reader.status()["blocked"] == [{"symbol": SYMBOL, "reason": "paused"}, {"symbol": "", "reason": "no price"}]
    write(journal, [started()])
    with Reader(path) as reader:
        assert reader.status()["blocked"] == []


def test_the_account_begins_with_the_first_start_and_knows_the_instruments_of_all() -> None:
    other = msgspec.structs.replace(started(cash="77"), instruments={"ETH/USDT:USDT": started().instruments[SYMBOL]})
    book = fold([started(cash="500"), other])
    assert book is not None
    assert book.cash == 500
    assert set(book.instruments) == {SYMBOL, "ETH/USDT:USDT"}
    assert fold([]) is None


def test_a_journal_without_an_account_says_so(journal: Journal) -> None:
    with Reader(write(journal, *ROUND)) as reader, pytest.raises(HomeError, match="holds no account"):
        reader.status()


def test_a_reader_sees_one_moment_while_the_run_goes_on(journal: Journal) -> None:
    path = write(journal, [started()], *ROUND)
    with Reader(path) as reader:
        before = reader.status()
        write(journal, [decision(7), entry(7)])
        assert reader.status() == before
    with Reader(path) as reader:
        assert reader.status()["decisions"] == 2


def test_a_reader_cannot_write(journal: Journal) -> None:
    with Reader(write(journal, [started()])) as reader, pytest.raises(sqlite3.OperationalError, match=r"readonly|read-only"):
        reader._db.execute("DELETE FROM event")


def test_decisions_come_newest_first(journal: Journal) -> None:
    path = write(journal, *[[decision(n)] for n in range(1, 8)])
    with Reader(path) as reader:
        assert reader.last_decisions(3) == [decision(7), decision(6), decision(5)]
        assert len(reader.last_decisions(100)) == 7
        assert reader.decision("BTCUSDT-30m-4") == decision(4)


@pytest.mark.parametrize("name", ["BTCUSDT-30m-1", "BTCUSDT-30m-1-in", "BTCUSDT-30m-1-sl", "BTCUSDT-30m-1-sl-1"])
def test_an_order_or_a_fill_leads_to_its_decision(journal: Journal, name: str) -> None:
    with Reader(write(journal, *ROUND)) as reader:
        assert reader.decision(name) == decision(1)


def test_what_followed_a_decision_is_found(journal: Journal) -> None:
    with Reader(write(journal, [started()], *ROUND, [marked(9)])) as reader:
        name = decision(1).id
        assert [(o["purpose"], o["state"], o["filled"]) for o in reader.orders(name)] == [
            ("entry", "filled", Decimal(24)),
            ("stop", "filled", Decimal(24)),
        ]
        assert [f.id for f in reader.fills(name)] == ["BTCUSDT-30m-1-in-1", "BTCUSDT-30m-1-sl-1"]
        assert reader.trades(name) == reader.trades() == [trade(1)]
        assert reader.trades("other") == []
        assert reader.equity() == [(9, Decimal(10000))]


def test_a_misspelt_id_is_answered_with_the_nearest(journal: Journal) -> None:
    with Reader(write(journal, [decision(1741257000)], [decision(1741258800)])) as reader:
        with pytest.raises(HomeError, match="no decision 'BTCUSDT-30m-174125700'; did you mean BTCUSDT-30m-1741257000 or"):
            reader.decision("BTCUSDT-30m-174125700")
        with pytest.raises(HomeError, match="`enigma why --last 5` shows the newest"):
            reader.decision("?")


def test_an_empty_journal_has_no_decision_to_offer(journal: Journal) -> None:
    with Reader(write(journal, [started()])) as reader:
        assert reader.last_decisions(5) == []
        with pytest.raises(HomeError, match="it holds none at all"):
            reader.decision("BTCUSDT-30m-1")


def test_the_database_is_named_or_the_one_written_last(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match=r"nothing has run in .* yet: start with `enigma run`"):
        journal_path(tmp_path)
    for number, name in enumerate(("live", "paper")):
        (tmp_path / f"{name}.sqlite").write_bytes(b"")
        os.utime(tmp_path / f"{name}.sqlite", (number, number))
    assert journal_path(tmp_path).name == "paper.sqlite"
    database.sidecar(tmp_path / "live.sqlite", "-wal").write_bytes(b"")
    assert journal_path(tmp_path).name == "live.sqlite"
    assert journal_path(tmp_path, f"sqlite:///{tmp_path}/paper.sqlite").name == "paper.sqlite"
    with pytest.raises(HomeError, match="no database at"):
        journal_path(tmp_path, str(tmp_path / "other.sqlite"))
    with pytest.raises(HomeError, match="postgresql://somewhere is no database this can read"):
        journal_path(tmp_path, "postgresql://somewhere")


def test_s10_a_reader_refuses_what_is_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "paper.sqlite"
    path.write_text("not a database")
    with pytest.raises(HomeError, match="is damaged or not ours"):
        Reader(path)


def test_status_refuses_a_journal_altered_by_hand(journal: Journal) -> None:
    path = write(journal, [started()], *ROUND)
    with sqlite3.connect(path) as db:
        db.execute("""UPDATE event SET payload = replace(payload, '"10000"', '"90000"') WHERE kind = 'started'""")
        db.commit()
    with Reader(path) as reader, pytest.raises(HomeError, match="event 1 was altered"):
        reader.status()
