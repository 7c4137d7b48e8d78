"""What the feed csv reads, and in which words it refuses."""

from __future__ import annotations

import gzip
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candle_files import HEADER, START, STEP, rows, write
from enigma_core.errors import DataError
from enigma_core.model import Candles
from enigma_plugins.feeds._instrument import HEAD, lot_at, price_decimals
from enigma_plugins.feeds.csv import Csv

BTC = "BTC/USDT:USDT"
NAMES = ("ts", "open", "high", "low", "close", "volume")


def refusal(path: Path, **settings: str) -> str:
    """The sentence that reading the whole of it is refused with; it names the place and is one line."""
    feed = Csv(data=str(path), **settings)
    with pytest.raises(DataError) as caught:
        feed.history(feed.symbols()[0], feed.base_timeframe())
    text = str(caught.value)
    assert "\n" not in text
    return text


def columns(candles: Candles) -> list[list[float]]:
    return [getattr(candles, name).tolist() for name in NAMES]


def same(a: Candles, b: Candles) -> bool:
    return columns(a) == columns(b)


def changed(column: int, value: object, row: int = 3, n: int = 6) -> list[list[object]]:
    lines = rows(n)
    lines[row][column] = value
    return lines


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        (1, "nan", "open is nan"),
        (2, "inf", "high is inf"),
        (3, "-inf", "low is -inf"),
        (4, "1e999", "close is inf"),
        (4, "-5", "close is -5.0; a price must be above 0"),
        (3, "0", "low is 0.0; a price must be above 0"),
        (2, "98", "high 98.0 is below low 102.5"),
        (2, "103.6", "high 103.6 is below close 104.5"),
        (3, "104.1", "low 104.1 is above open 103.5"),
        (5, "-1", "volume is -1.0; it must not be negative"),
        (5, "nan", "volume is nan"),
        (4, "abc", "'abc' is not a number"),
        (4, "1_000", "'1_000' is not a number"),
        (4, "", "a cell is empty"),
        (0, "yesterday", "'yesterday' is neither a number nor a date"),
        (0, str(START), "before that of the row above"),
        (0, str(START + 2 * STEP), "a second, different bar for 2025-03-06 10:40"),
        (0, str(START + 3 * STEP + 7_000), "opens no 5m bar"),
        (0, str(START // 1000), "lies outside 1980 to 2100 in milliseconds"),
        (4, "104.5,7", "7 columns instead of 6"),
    ],
)
def test_nonsense_is_refused_with_file_line_and_value(tmp_path: Path, column: int, value: str, words: str) -> None:
    path = write(tmp_path / "BTCUSDT-5m.csv", changed(column, value))
    text = refusal(path)
    assert text.startswith(f"{path}:5: ")
    assert words in text


def test_low_above_close_is_refused(tmp_path: Path) -> None:
    lines = rows(3)
    lines[1][1:5] = [105, 106, 104, 103]
    assert "low 104.0 is above close 103.0" in refusal(write(tmp_path / "BTCUSDT-5m.csv", lines))


def test_high_below_open_is_refused(tmp_path: Path) -> None:
    lines = rows(3)
    lines[1][1:5] = [105, 104.5, 103, 104]
    assert "high 104.5 is below open 105.0" in refusal(write(tmp_path / "BTCUSDT-5m.csv", lines))


def test_row_that_lacks_a_column_is_refused_even_when_the_next_has_one_more(tmp_path: Path) -> None:
    lines = rows(6)
    lines[3].append(lines[2].pop())
    assert refusal(write(tmp_path / "BTCUSDT-5m.csv", lines)).endswith("BTCUSDT-5m.csv:4: 5 columns instead of 6")


def test_line_is_right_far_into_a_big_file_with_blank_lines(tmp_path: Path) -> None:
    lines: list[list[object]] = rows(20_000)
    lines[15_000][4] = "oops"
    lines.insert(9_000, [])
    path = write(tmp_path / "BTCUSDT-5m.csv", lines)
    assert refusal(path) == f"{path}:15003: 'oops' is not a number"


def test_missing_columns_are_named_with_what_is_there(tmp_path: Path) -> None:
    path = write(tmp_path / "BTCUSDT-5m.csv", rows(3), "ts_ms,open,hgih,low,close,amount")
    assert refusal(path) == (
        f"{path}: there is no column high and no column volume; the header has ts_ms, open, hgih, low, close, amount"
    )


def test_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    assert "two columns 'close'" in refusal(write(tmp_path / "BTCUSDT.csv", [[*r, 1] for r in rows(3)], HEADER + ",close"))


def test_empty_file_is_refused(tmp_path: Path) -> None:
    assert "the file is empty" in refusal(write(tmp_path / "BTCUSDT-5m.csv", [], None))


def test_header_alone_is_refused(tmp_path: Path) -> None:
    assert "a header and no rows" in refusal(write(tmp_path / "BTCUSDT-5m.csv", []))


def test_headerless_file_of_another_width_is_refused(tmp_path: Path) -> None:
    text = refusal(write(tmp_path / "BTCUSDT-5m.csv", [r[:5] for r in rows(3)], None))
    assert "5 columns and no header; without a header there must be 6: ts_ms, open, high, low, close, volume" in text


def test_damaged_gzip_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress("\n".join([HEADER, *(",".join(map(str, r)) for r in rows(5_000))]).encode())
    for name, data in (("BTCUSDT-5m.csv.gz", whole[:-200]), ("ETHUSDT-5m.csv.gz", b"plain text, no gzip")):
        (tmp_path / name).write_bytes(data)
        assert "the compressed file is damaged" in refusal(tmp_path / name)


def test_binary_rubbish_is_refused_without_a_traceback(tmp_path: Path) -> None:
    for i, rubbish in enumerate((bytes(range(256)) * 50, b"\x00" * 5000, b"\xff\xfe1\x002\x00", b"x" * 600_000, b"\n\n\n")):
        path = tmp_path / f"BTCUSDT-{i + 1}m.csv"
        path.write_bytes(rubbish)
        assert str(path) in refusal(path)


def test_time_that_is_an_index_is_refused(tmp_path: Path) -> None:
    text = refusal(write(tmp_path / "BTCUSDT-5m.csv", [[i, *r[1:]] for i, r in enumerate(rows(4))]))
    assert ":2: the time 0 lies outside 1980 to 2100" in text


def test_name_that_contradicts_the_bars_is_refused(tmp_path: Path) -> None:
    text = refusal(write(tmp_path / "BTCUSDT-5m.csv", rows(9, step=60_000)))
    assert ":3: " in text
    assert "opens no 5m bar (UTC); the bars are 1m apart" in text
    text = refusal(write(tmp_path / "BTCUSDT-5m.csv", rows(9, step=900_000, start=START)))
    assert "its name says 5m, but its bars are 15m apart" in text


def test_bars_no_timeframe_apart_are_refused(tmp_path: Path) -> None:
    assert "no known timeframe apart" in refusal(write(tmp_path / "BTCUSDT.csv", rows(5, step=7_000)))


def test_file_name_without_symbol_is_refused(tmp_path: Path) -> None:
    assert "its name stands for no symbol" in refusal(write(tmp_path / "prices.csv", rows(3)))


def test_folder_without_candles_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing")
    assert "no file here stands for a symbol" in refusal(tmp_path)


def test_absent_folder_is_refused(tmp_path: Path) -> None:
    assert "there is no such folder or file" in refusal(tmp_path / "nowhere")
    write(tmp_path / "BTCUSDT-5m.csv", rows(3))
    assert "there is no such folder or file" in refusal(tmp_path, funding_data=str(tmp_path / "nowhere"))


def test_no_data_is_refused_naming_the_setting() -> None:
    with pytest.raises(DataError, match=r"--data or the setting feed\.data"):
        Csv().symbols()


def test_unknown_symbol_is_refused_naming_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "BTCUSDT-5m.csv", rows(3))
    with pytest.raises(DataError, match=r"did you mean BTC/USDT:USDT\?"):
        Csv(data=str(tmp_path)).history("BTC/USDC:USDC", "5m")


def test_finer_bars_than_the_file_has_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "BTCUSDT-5m.csv", rows(3))
    with pytest.raises(DataError, match="bars of 1m cannot be made from"):
        Csv(data=str(tmp_path)).history(BTC, "1m")


def test_stream_is_refused_naming_replay(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="replay"):
        Csv(data=str(tmp_path)).stream((BTC,), "5m", None)


def test_one_bar_is_allowed(tmp_path: Path) -> None:
    feed = Csv(data=str(write(tmp_path / "BTCUSDT-5m.csv", rows(1))))
    assert columns(feed.history(BTC, "5m")) == [[START], [100.5], [102.5], [99.5], [101.5], [10.25]]
    assert feed.report()[BTC].gaps == 0
    assert not feed.report()[BTC]
    nameless = Csv(data=str(write(tmp_path / "ETHUSDT.csv", rows(1))))
    assert nameless.base_timeframe() == "1m"


def test_gaps_and_exact_repeats_are_counted_and_allowed(tmp_path: Path) -> None:
    lines = rows(20)
    lines = [*lines[:4], lines[3], *lines[6:10], *lines[11:], lines[-1]]
    feed = Csv(data=str(write(tmp_path / "BTCUSDT-5m.csv", lines)))
    report = feed.report()[BTC]
    assert report
    assert (report.bars, report.gaps, report.missing, report.duplicates) == (17, 2, 3, 2)
    assert (report.first_gap_ts, report.longest_gap, report.longest_gap_ts) == (START + 4 * STEP, 2, START + 4 * STEP)
    assert (np.diff(feed.history(BTC, "5m").ts) > 0).all()
    assert "2 gaps (3 bars missing, the first at 2025-03-06 10:50" in str(report)
    assert "2 repeated bars dropped" in str(report)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns", "iso", "iso_z", "iso_offset"])
@pytest.mark.parametrize("column", ["ts_ms", "ts", "timestamp", "time", "date", "Open_Time"])
def test_times_in_any_unit_are_the_same_bars(tmp_path: Path, unit: str, column: str) -> None:
    def spelled(ts: int) -> str:
        moment = np.datetime64(ts, "ms")
        texts = {"iso": f"{str(moment).replace('T', ' ')}", "iso_z": f"{moment}Z", "iso_offset": f"{moment}+00:00"}
        return texts[unit] if unit in texts else str(ts * {"s": 1, "ms": 1000, "us": 10**6, "ns": 10**9}[unit] // 1000)

    plain = Csv(data=str(write(tmp_path / "BTCUSDT-5m.csv", rows(50)))).history(BTC, "5m")
    lines = [[spelled(int(str(r[0]))), *r[1:]] for r in rows(50)]
    other = write(tmp_path / "ETHUSDT-5m.csv", lines, f"{column},Open,HIGH,low,close,Volume")
    assert same(Csv(data=str(other)).history("ETH/USDT:USDT", "5m"), plain)


@pytest.mark.parametrize("date", ["2025-02-30 00:00", "2025-01-01 25:00", "NaT", "now", "2025-13-01", '"2025-01-01'])
def test_date_that_does_not_exist_is_refused(tmp_path: Path, date: str) -> None:
    lines = [[f"2025-01-01 00:{minute:02}:00", *rows(1)[0][1:]] for minute in range(0, 30, 5)]
    lines[3][0] = date
    text = refusal(write(tmp_path / "BTCUSDT-5m.csv", lines))
    assert "BTCUSDT-5m.csv:5: " in text


def test_dates_and_numbers_may_be_mixed_and_zones_are_heeded(tmp_path: Path) -> None:
    plain = Csv(data=str(write(tmp_path / "BTCUSDT-5m.csv", rows(4)))).history(BTC, "5m")
    lines = rows(4)
    for line, date in zip(
        lines, ("2025-03-06T10:30Z", "2025-03-06 12:35:00+02:00", str(lines[2][0]), "2025-03-06 10:45"), strict=True
    ):
        line[0] = date
    assert same(Csv(data=str(write(tmp_path / "ETHUSDT-5m.csv", lines))).history("ETH/USDT:USDT", "5m"), plain)


def test_every_layout_gives_the_same_bars(tmp_path: Path) -> None:
    plain = Csv(data=str(write(tmp_path / "BTCUSDT.csv", rows(50)))).history(BTC, "5m")
    words = [[*r[:3], "some, word".replace(",", ""), *r[3:]] for r in rows(50)]
    layouts = {
        "A": write(tmp_path / "AUSDT.csv.gz", rows(50)),
        "B": write(tmp_path / "BUSDT.csv", rows(50), None),
        "C": write(tmp_path / "CUSDT.csv", [[*r, 1, 2, 3, 4, 5, 6] for r in rows(50)], None),
        "D": write(tmp_path / "DUSDT.csv", words, "ts,open,high,note,low,close,volume"),
        "E": write(tmp_path / "EUSDT.csv", [[r[5], *r[4:0:-1], r[0]] for r in rows(50)], "volume,close,low,high,open,time"),
        "F": write(tmp_path / "FUSDT.csv", [[f'"{cell}"' for cell in r] for r in rows(50)]),
        "G": write(tmp_path / "GUSDT.csv", [r if i % 7 else [*r[:5], f" {r[5]} "] for i, r in enumerate(rows(50))]),
    }
    text = (tmp_path / "BTCUSDT.csv").read_text()
    for name, data in (
        ("H", text.replace(",", ";").encode()),
        ("I", text.replace("\n", "\r\n").encode()),
        ("J", b"\xef\xbb\xbf" + text.encode()),
        ("K", text.replace(",", "\t").encode()),
        ("L", text.rstrip("\n").encode()),
        ("M", (text + "\n\n").encode()),
    ):
        layouts[name] = tmp_path / f"{name}USDT.csv"
        layouts[name].write_bytes(data)
    for base, path in layouts.items():
        assert same(Csv(data=str(path)).history(f"{base}/USDT:USDT", "5m"), plain), base


def test_parts_of_a_series_are_joined_in_order_of_time(tmp_path: Path) -> None:
    lines = rows(90)
    write(tmp_path / "BTCUSDT-5m-2025-03.csv", lines[60:])
    write(tmp_path / "BTCUSDT-5m-2025-04.csv", lines[:30])
    write(tmp_path / "BTCUSDT-5m-2025-05.csv.gz", lines[30:60])
    whole = Csv(data=str(write(tmp_path / "ETHUSDT-5m.csv", lines))).history("ETH/USDT:USDT", "5m")
    feed = Csv(data=str(tmp_path))
    assert feed.symbols() == (BTC, "ETH/USDT:USDT")
    assert same(feed.history(BTC, "5m"), whole)
    lines[70][4] = "nan"
    write(tmp_path / "BTCUSDT-5m-2025-03.csv", lines[60:])
    assert "BTCUSDT-5m-2025-03.csv:12: close is nan" in refusal(tmp_path)


def test_coarser_bars_are_resampled_and_files_of_the_timeframe_preferred(tmp_path: Path) -> None:
    write(tmp_path / "BTCUSDT-5m.csv", rows(24, start=START))
    hours = Csv(data=str(tmp_path)).history(BTC, "30m")
    assert columns(hours)[:2] == [[START + i * 6 * STEP for i in range(4)], [100.5 + 6 * i for i in range(4)]]
    assert hours.volume.tolist() == [6 * 10.25] * 4
    write(tmp_path / "BTCUSDT-30m.csv", rows(2, step=6 * STEP))
    assert len(Csv(data=str(tmp_path)).history(BTC, "30m")) == 2
    assert Csv(data=str(tmp_path)).base_timeframe() == "5m"


def test_base_timeframe_is_the_finest_that_all_symbols_have(tmp_path: Path) -> None:
    write(tmp_path / "BTCUSDT.csv", rows(9, step=60_000))
    write(tmp_path / "ETHUSDT-5m.csv", rows(9))
    assert Csv(data=str(tmp_path)).base_timeframe() == "5m"


def test_one_bad_file_does_not_stop_a_run_on_the_others(tmp_path: Path) -> None:
    write(tmp_path / "BTCUSDT.csv", rows(9))
    write(tmp_path / "ETHUSDT.csv", changed(4, "oops"))
    write(tmp_path / "trades.csv", [["a", "b"]], "x,y")
    feed = Csv(data=str(tmp_path))
    assert feed.base_timeframe() == "5m"
    assert len(feed.history(BTC, "5m")) == 9
    with pytest.raises(DataError, match=r"ETHUSDT\.csv:5"):
        feed.history("ETH/USDT:USDT", "5m")


def test_history_is_from_start_up_to_but_without_end(tmp_path: Path) -> None:
    feed = Csv(data=str(write(tmp_path / "BTCUSDT-5m.csv", rows(24))))
    part = feed.history(BTC, "5m", START + 3 * STEP, START + 9 * STEP)
    assert part.ts.tolist() == [START + i * STEP for i in range(3, 9)]
    assert feed.history(BTC, "30m", START + 1, START + 13 * STEP).ts.tolist() == [START + 6 * STEP]
    assert len(feed.history(BTC, "5m", START + 99 * STEP)) == 0


def test_arrays_are_read_only_and_contiguous(tmp_path: Path) -> None:
    candles = Csv(data=str(write(tmp_path / "BTCUSDT-5m.csv", rows(24)))).history(BTC, "5m")
    for name in NAMES:
        array = getattr(candles, name)
        assert array.flags.c_contiguous
        assert not array.flags.writeable


def test_parquet_equals_csv(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    lines = rows(500)
    plain = Csv(data=str(write(tmp_path / "BTCUSDT.csv", lines))).history(BTC, "5m")
    data = {name: [line[i] for line in lines] for i, name in enumerate(("date", *NAMES[1:]))}
    whole = pyarrow.table(data)
    moments = pyarrow.array(data["date"], pyarrow.timestamp("ms", "UTC"))
    for i, table in enumerate(
        (
            whole,
            whole.set_column(0, "date", moments),
            whole.set_column(0, "date", moments.cast(pyarrow.timestamp("ns", "UTC"))),
            whole.append_column("note", pyarrow.array(["x"] * 500)),
        )
    ):
        path = tmp_path / f"{'ABCD'[i]}USDT.parquet"
        parquet.write_table(table, path)
        feed = Csv(data=str(path))
        assert same(feed.history(feed.symbols()[0], feed.base_timeframe()), plain)


def test_bad_parquet_is_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    lines = rows(9)
    data = {name: [line[i] for line in lines] for i, name in enumerate(NAMES)}
    path = tmp_path / "BTCUSDT-5m.parquet"

    def saying(**columns: list[object]) -> str:
        parquet.write_table(pyarrow.table(data | columns), path)
        return refusal(path)

    assert f"{path}:4: close is nan" in saying(close=[*data["close"][:3], None, *data["close"][4:]])
    assert "the column close holds string" in saying(close=["x"] * 9)
    parquet.write_table(pyarrow.table(data).drop_columns(["high"]), path)
    assert "there is no column high; the header has ts, open, low, close, volume" in refusal(path)
    parquet.write_table(pyarrow.table({k: v[:0] for k, v in data.items()}), path)
    assert "the file has no rows" in refusal(path)
    path.write_bytes(b"PAR1 no parquet at all PAR1")
    assert "not a readable Parquet file" in refusal(path)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "BTCUSDT-5m.parquet").write_bytes(b"")
    assert 'pip install "miniature-enigma[data]"' in refusal(tmp_path / "BTCUSDT-5m.parquet")


def test_instrument_stands_on_the_grid_of_the_prices(tmp_path: Path) -> None:
    lines = [
        [START + i * STEP, *prices, 1] for i, prices in enumerate([(91616.5, 91617, 91383.1, 91437), (91437, 91440, 91400, 91401)])
    ]
    instrument = Csv(data=str(write(tmp_path / "BTCUSDT-5m.csv", lines))).instrument(BTC)
    assert (instrument.tick, instrument.lot, instrument.multiplier, instrument.min_quantity) == (
        Decimal("0.1"),
        Decimal("0.00001"),
        Decimal(1),
        Decimal("0.00001"),
    )


def test_the_grid_is_that_of_the_first_bars_however_long_the_file_grows(tmp_path: Path) -> None:
    lines = [[START + i * STEP, 91616.5, 91617, 91383.1, 91437, 1] for i in range(HEAD + 1)]
    lines[HEAD][4] = 91437.123
    assert Csv(data=str(write(tmp_path / "BTCUSDT-5m.csv", lines))).instrument(BTC).tick == Decimal("0.1")
    lines[HEAD - 1][4] = 91437.12
    assert Csv(data=str(write(tmp_path / "BTCUSDT-5m.csv", lines))).instrument(BTC).tick == Decimal("0.01")


@pytest.mark.parametrize(
    ("price", "lot"),
    [(91616.5, "0.00001"), (0.9675, "1"), (1.0, "1"), (1.01, "0.1"), (10.0, "0.1"), (5.33e-05, "10000")],
)
def test_lot_is_the_largest_power_of_ten_worth_at_most_one(price: float, lot: str) -> None:
    assert lot_at(price) == Decimal(lot)


def test_noise_of_floats_is_no_finer_tick() -> None:
    assert price_decimals((np.array([5.330000000000001e-05, 5.288000000000001e-05, 5.2900000000000005e-05]),)) == 8
    assert price_decimals((np.array([100.0, 250.0]),)) == 0
    assert price_decimals((np.array([0.1 + 0.2]),)) == 1
    assert price_decimals((np.random.default_rng(1).random(100) * 5e4,)) == 7


def test_funding_is_found_beside_the_candles_and_in_its_folder(tmp_path: Path) -> None:
    candles, apart = tmp_path / "candles", tmp_path / "apart"
    candles.mkdir()
    apart.mkdir()
    write(candles / "XBTUSDTM.csv", rows(9))
    assert Csv(data=str(candles)).funding(BTC) is None
    eight = 28_800_000
    write(candles / "BTCUSDT_funding.csv", [[eight * 60_000, "0.0001"], [eight * 60_001 + 7, "-0.0002"]], "ts_ms,funding_rate")
    beside = Csv(data=str(candles)).funding(BTC)
    assert beside is not None
    assert (beside.ts.tolist(), beside.rate.tolist()) == ([eight * 60_000, eight * 60_001], [0.0001, -0.0002])
    write(apart / "BTCUSDT_funding.csv.gz", [[eight * 60_000, "0.5"]], "ts_ms,funding_rate")
    chosen = Csv(data=str(candles), funding_data=str(apart)).funding(BTC)
    assert chosen is not None
    assert chosen.rate.tolist() == [0.5]
    assert Csv(data=str(candles / "XBTUSDTM.csv")).funding(BTC) is not None


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ([1_728_028_800_000, "nan"], ":3: the funding rate is nan"),
        ([1_728_028_800_000, "1.5"], ":3: the funding rate is 1.5; it must be a fraction between -1 and 1"),
        ([1_728_028_800_000, "x"], ":3: 'x' is not a number"),
        ([1_727_000_000_000, "0.1"], ":3: the time 2024-09-22 10:13 is before that of the row above"),
        ([1_728_000_000_000, "0.2"], ":3: a second, different rate for 2024-10-04 00:00"),
    ],
)
def test_bad_funding_is_refused_by_line(tmp_path: Path, second: list[object], words: str) -> None:
    write(tmp_path / "BTCUSDT-5m.csv", rows(3))
    write(tmp_path / "BTCUSDT_funding.csv", [[1_728_000_000_000, "0.0001"], second], "ts_ms,funding_rate")
    with pytest.raises(DataError) as caught:
        Csv(data=str(tmp_path)).funding(BTC)
    assert words in str(caught.value)


def test_identity_names_the_resolved_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "BTCUSDT-5m.csv", rows(3))
    monkeypatch.chdir(tmp_path)
    assert Csv(data=".").identity() == f"csv:{tmp_path.resolve()}"


prices = st.floats(1e-8, 1e7, allow_nan=False, allow_subnormal=False)


@settings(max_examples=60)
@given(st.lists(st.tuples(prices, prices, prices, prices, st.floats(0, 1e12)), min_size=1, max_size=40), st.booleans())
def test_what_is_written_is_read_back_to_the_bit(bars: list[tuple[float, ...]], packed: bool) -> None:
    lines = [[START + i * STEP, bar[0], max(bar[:4]), min(bar[:4]), bar[3], bar[4]] for i, bar in enumerate(bars)]
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / ("BTCUSDT-5m.csv" + ".gz" * packed), [[repr(cell) for cell in line] for line in lines])
        assert columns(Csv(data=str(path)).history(BTC, "5m")) == [list(column) for column in zip(*lines, strict=True)]


@settings(max_examples=150)
@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_break_the_reader(noise: bytes, header: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "BTCUSDT-5m.csv"
        path.write_bytes((HEADER + "\n").encode() * header + noise)
        try:
            said = f"{path}: {len(Csv(data=str(path)).history(BTC, '5m'))} bars"
        except DataError as error:
            said = str(error)
        assert str(path) in said
        assert ": 0 bars" not in said


def test_two_files_of_one_symbol_are_named_both(tmp_path: Path) -> None:
    for name in ("BTCUSDT.csv", "XBTUSDTM.csv"):
        write(tmp_path / name, rows(6))
    told = refusal(tmp_path)
    assert told == f"{tmp_path}/BTCUSDT.csv and XBTUSDTM.csv both stand for {BTC}, and their times overlap: keep one of them"


def test_files_that_follow_each_other_may_share_a_bar(tmp_path: Path) -> None:
    lines = rows(6)
    write(tmp_path / "BTCUSDT-5m-2025-01.csv", lines[:4])
    write(tmp_path / "BTCUSDT-5m-2025-02.csv", lines[3:])
    feed = Csv(data=str(tmp_path))
    assert len(feed.history(BTC, "5m")) == 6
    assert str(feed.report()[BTC]).endswith("1 repeated bar dropped")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\n1,2,3\n", "BTCUSDT.csv:1: the line is blank; the first line should be a header"),
        (b"\x7fELF\x02\x01\x00\x00,\xff\n1,2\n", "BTCUSDT.csv: this is no text"),
        (b"\x1f\x8b\x08,\x00\n", "BTCUSDT.csv: this is no text"),
        (b",,,\n1,2,3,4\n", "the header has no names"),
        (b"\xc2\x9b31m,b\n1,2\n", "the header has ?31m, b"),
    ],
)
def test_a_file_that_is_no_table_is_refused_without_a_stray_byte(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "BTCUSDT.csv"
    path.write_bytes(content)
    told = refusal(path)
    assert words in told
    assert told.isprintable()


def test_one_gap_is_one_gap(tmp_path: Path) -> None:
    lines = rows(8)
    del lines[3]
    feed = Csv(data=str(write(tmp_path / "BTCUSDT-5m.csv", lines)))
    assert ", 1 gap (1 bar missing, the first at " in str(feed.report()[BTC])
