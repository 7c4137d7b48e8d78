"""The run's folder: made, locked, checked; a database of another market is kept and not used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from enigma_core import database
from enigma_core.errors import HomeError
from enigma_core.home import Home, holder, home_path
from ledger import decision, marked


def test_the_folder_is_given_or_named_by_the_environment_or_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENIGMA_HOME", raising=False)
    assert home_path() == Path("enigma_data")
    monkeypatch.setenv("ENIGMA_HOME", "/somewhere")
    assert home_path() == Path("/somewhere")
    assert home_path("here") == Path("here")


def test_opening_makes_the_folder_and_its_parts(tmp_path: Path) -> None:
    with Home.open(tmp_path / "a" / "b") as home:
        assert home.candles.is_dir()
        assert home.logs.is_dir()
        assert (home.paper.name, home.live.name) == ("paper.sqlite", "live.sqlite")
        assert not home.paper.exists()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError, match="cannot be written: Not a directory; give another folder with --home or ENIGMA_HOME"):
        Home.open(tmp_path / "file" / "home")


def test_a_folder_that_refuses_files_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(HomeError, match="cannot be written: No space left on device"):
        Home.open(tmp_path)
    monkeypatch.undo()
    Home.open(tmp_path).close()


def test_p03_a_held_folder_names_its_holder_and_is_free_once_closed(tmp_path: Path) -> None:
    import os

    with Home.open(tmp_path):
        assert holder(tmp_path) == os.getpid()
        with pytest.raises(HomeError, match=f"in use by process {os.getpid()}"):
            Home.open(tmp_path)
    assert holder(tmp_path) is None
    home = Home.open(tmp_path)
    home.close()
    home.close()


def test_a_run_goes_on_in_the_same_database(tmp_path: Path) -> None:
    for n in (1, 2):
        with Home.open(tmp_path) as home, home.journal("paper", "synthetic seed=1") as journal:
            assert len(list(journal.replay())) == n - 1
            assert home.told == []
            journal.write([marked(n)], n)


def test_another_market_gets_a_new_database_and_the_old_one_is_kept(tmp_path: Path) -> None:
    with Home.open(tmp_path) as home:
        with home.journal("paper", "synthetic seed=1") as journal:
            journal.write([decision()], 1)
        with home.journal("paper", "replay candles") as journal:
            assert list(journal.replay()) == []
        (told,) = home.told
        kept = tmp_path / re.search(r"kept as (paper-\d{8}T\d{6}\.sqlite)", told)[1]
        assert "belongs to the market 'synthetic seed=1'" in told
        assert database.verify(kept).identity == "synthetic seed=1"
        assert database.verify(home.paper).identity == "replay candles"


def test_the_account_of_a_market_goes_on_when_its_market_is_traded_again(tmp_path: Path) -> None:
    with Home.open(tmp_path) as home:
        for turn, market in enumerate(("a", "b", "a", "c", "b"), start=1):
            with home.journal("paper", market) as journal:
                earlier = {3: [1], 5: [2]}.get(turn, [])
                assert [record.ts for record in journal.replay()] == earlier
                journal.write([marked(turn)], turn)
        assert len(home.told) == 4
        assert re.search(r"the account of this market goes on, which was kept as paper-\d{8}T\d{6}\.sqlite$", home.told[1])
        assert home.told[2].endswith("a new one begins")
        assert database.verify(home.paper).identity == "b"
    kept = [database.verify(p).identity for p in tmp_path.glob("paper-*.sqlite")]
    assert sorted(kept) == ["a", "c"]


def test_what_is_still_in_the_log_of_an_account_moves_along_with_it(tmp_path: Path) -> None:
    with Home.open(tmp_path) as home:
        with home.journal("paper", "a") as journal:
            journal.write([marked(1)], 1).result(10)
            # as a killed run leaves it: the step is in the -wal alone
            left = {p.name: p.read_bytes() for p in tmp_path.glob("paper.sqlite*")}
        assert left["paper.sqlite-wal"]
        for path in tmp_path.glob("paper.sqlite*"):
            path.unlink()
        for name, content in left.items():
            (tmp_path / name).write_bytes(content)
        home.journal("paper", "b").close()
        with home.journal("paper", "a") as journal:
            assert [record.ts for record in journal.replay()] == [1]


def test_of_several_accounts_of_one_market_the_last_goes_on_and_fresh_begins_anew(tmp_path: Path) -> None:
    with Home.open(tmp_path) as home:
        for turn in (1, 2, 3):
            with home.journal("paper", "a", fresh=True) as journal:
                assert list(journal.replay()) == []
                journal.write([marked(turn)], turn)
        home.journal("paper", "b").close()
        newest = home.told[-1].split()[4].rstrip(",")
        (tmp_path / "paper-99990101T000000.sqlite").write_bytes(b"rubbish")
        with home.journal("paper", "a") as journal:
            assert [record.ts for record in journal.replay()] == [3]
        assert home.told[-1].endswith(f"kept as {newest}")
        home.journal("paper", "b", fresh=True).close()
        assert home.told[-1].endswith("a new one begins")


def test_a_fresh_start_keeps_the_old_one_each_time_under_its_own_name(tmp_path: Path) -> None:
    with Home.open(tmp_path) as home:
        for _ in range(4):
            home.journal("paper", "m", fresh=True).close()
        assert len(home.told) == 3
    assert len(list(tmp_path.glob("paper-*.sqlite"))) == 3


def test_a_fresh_start_gets_past_a_damaged_file_and_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "paper.sqlite").write_bytes(b"rubbish")
    with Home.open(tmp_path) as home:
        with pytest.raises(HomeError, match="start with --fresh"):
            home.journal("paper", "m")
        home.journal("paper", "m", fresh=True).close()
    assert [p.read_bytes() for p in tmp_path.glob("paper-*.sqlite")] == [b"rubbish"]


def test_s21_a_database_of_another_mode_is_refused_and_left_alone(tmp_path: Path) -> None:
    with Home.open(tmp_path) as home:
        home.journal("paper", "account 7").close()
        home.paper.rename(home.live)
        before = home.live.read_bytes()
        with pytest.raises(HomeError, match="belongs to the mode 'paper', and this run is of 'live'"):
            home.journal("live", "account 7")
        assert home.live.read_bytes() == before


def test_s21_real_money_is_never_put_aside(tmp_path: Path) -> None:
    with Home.open(tmp_path) as home:
        home.journal("live", "account 7").close()
        with pytest.raises(HomeError, match="belongs to the market 'account 7'"):
            home.journal("live", "account 8")
        with pytest.raises(HomeError, match="is not begun anew"):
            home.journal("live", "account 7", fresh=True)
        assert home.told == []
        assert list(tmp_path.glob("live-*")) == []


def test_what_a_removed_database_left_behind_is_not_played_into_the_new_one(tmp_path: Path) -> None:
    with Home.open(tmp_path) as home:
        home.journal("paper", "m").close()
        home.paper.unlink()
        database.sidecar(home.paper, "-wal").write_bytes(b"left behind")
        home.journal("paper", "m").close()
        assert database.verify(home.paper).identity == "m"
    assert (tmp_path / "paper.sqlite.old-wal").read_bytes() == b"left behind"


def test_only_the_paper_account_of_a_home_is_begun_anew_by_fresh(tmp_path: Path) -> None:
    for name, wanted in (("paper.sqlite", True), ("live.sqlite", False), ("backtest.sqlite", False)):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(HomeError, match="put back a copy") as caught:
            database.stamp(tmp_path / name)
        assert ("--fresh" in str(caught.value)) is wanted


def test_a_half_made_database_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "paper.sqlite.new").write_bytes(b"half")
    with Home.open(tmp_path) as home:
        home.journal("paper", "m").close()
    assert not (tmp_path / "paper.sqlite.new").exists()
