"""The same work in backtesting.py: ``rival.py FILE.csv`` from start to exit.

It computes the same TA-Lib lines through `Strategy.I`, and enters whenever it is flat and Williams %R stands in a zone, with
a stop and a target. It scores nothing, asks no gates and trails no stop, so its work is the lesser one.
"""

from __future__ import annotations

import sys

import pandas as pd
import talib
from backtesting import Backtest, Strategy

STOP, TARGET = 0.005, 0.006
"""As shares of the price: near enough to be met as often as the engine's exits are."""


class Zones(Strategy):
    """Long in the lower zone, short in the upper one."""

    def init(self) -> None:
        high, low, close, volume = self.data.High, self.data.Low, self.data.Close, self.data.Volume
        rsi = self.I(talib.RSI, close, 14)
        self.I(talib.STOCH, rsi, rsi, rsi, 14, 3, 0, 3, 0)
        self.wr = self.I(talib.WILLR, high, low, close, 14)
        self.I(talib.MACD, close, 12, 26, 9)
        self.I(talib.AO, high, low, 5, 34)
        for period in (10, 25, 50):
            self.I(talib.EMA, close, period)
        self.I(talib.STOCH, high, low, close, 14, 3, 0, 3, 0)
        self.I(talib.BBANDS, close, 20, 2.0, 2.0)
        raw, _ = self.I(talib.STOCHF, high, low, close, 9, 1, 0)
        self.I(talib.RMA, self.I(talib.RMA, raw, 3), 3)
        self.I(talib.SMA, self.I(talib.OBV, close, volume), 20)
        self.I(talib.CCI, high, low, close, 20)
        self.I(talib.ATR, high, low, close, 14)

    def next(self) -> None:
        if self.position:
            return
        wr = self.wr[-1]
        if wr <= -80:
            price = self.data.Close[-1]
            self.buy(size=0.01, sl=price * (1 - STOP), tp=price * (1 + TARGET))
        elif wr >= -20:
            price = self.data.Close[-1]
            self.sell(size=0.01, sl=price * (1 + STOP), tp=price * (1 - TARGET))


def main() -> None:
    """Trade the file named on the command line, print the trades as JSON, and their number as the last line."""
    bars = pd.read_csv(sys.argv[1], index_col=0)
    bars.index = pd.to_datetime(bars.index, unit="ms")
    bars.columns = ["Open", "High", "Low", "Close", "Volume"]
    stats = Backtest(bars, Zones, cash=1e9, commission=0.0006, margin=1 / 8, finalize_trades=True).run()
    sys.stdout.write(f"{stats._trades.to_json(orient='records')}\n{len(stats._trades)}\n")


if __name__ == "__main__":
    main()
