"""A scan of the screener: the newest bars of many symbols taken in, every market scored, gated, sized and ranked."""

from __future__ import annotations

import workload
from measuring import Finding, Goal, in_turn, seconds

from enigma_core.book import Book
from enigma_core.live import LiveEvaluator, bar_at
from enigma_core.market import BookSeen, FundingSeen, Market, MarkSeen, TickerSeen
from enigma_core.parts import Listing
from enigma_screener.looking import Look
from enigma_screener.ranking import Opportunity, Scan, ranked

FOUR_HOURS = 48
"""Bars of 5 m."""


def screener(quick: bool) -> Finding:
    """A scan of 100 symbols on six timeframes, the bars of all of them closing at once."""
    symbols, repeats = (5, 2) if quick else (100, 7)
    warm = 200 * FOUR_HOURS
    plan = workload.plan()
    candles = workload.markets(symbols, warm + repeats * FOUR_HOURS)
    instruments = workload.instruments(candles)
    evaluators = {symbol: LiveEvaluator(symbol, "5m", plan) for symbol in candles}
    for symbol, evaluator in evaluators.items():
        evaluator.warm(candles[symbol][:warm])
    markets = {symbol: Market(symbol) for symbol in candles}
    listings = [Listing(symbol=symbol, turnover=9e6, spread=0.0001) for symbol in candles]
    look, book = Look(plan, instruments), Book(plan.account.equity, instruments)
    at = [warm]
    bars = []

    def approach() -> None:
        """Up to the last bar before a moment at which bars of all six timeframes close."""
        for symbol, evaluator in evaluators.items():
            for i in range(at[0], at[0] + FOUR_HOURS - 1):
                evaluator.push(bar_at(candles[symbol], i))
        at[0] += FOUR_HOURS
        bars[:] = [bar_at(each, at[0] - 1) for each in candles.values()]
        for bar in bars:
            price = bar.close
            for event in (
                BookSeen(bar.end, bar.symbol, ((price * 0.9999, 5.0),) * 20, ((price * 1.0001, 5.0),) * 20),
                MarkSeen(bar.end, bar.symbol, price, price),
                FundingSeen(bar.end, bar.symbol, 0.0001, bar.end + 1),
                TickerSeen(bar.end, bar.symbol, 9e6),
            ):
                markets[bar.symbol].see(event)

    def take() -> None:
        for bar in bars:
            evaluators[bar.symbol].push(bar)

    def rank() -> Scan:
        now = bars[0].end
        found: list[Opportunity] = []
        for listing in listings:
            evaluation = evaluators[listing.symbol].evaluate(markets[listing.symbol], now)
            if (one := look(evaluation, listing, book, now)) is not None:
                found.append(one)
        return ranked(found, now, len(listings))

    times = in_turn(repeats, {"bars": take, "rank": rank}, before=approach)
    frames = len(next(iter(evaluators.values())).timeframes)
    found = Finding(
        "screener", f"a scan of {symbols} symbols x {frames} timeframes with all gates, all bars closing at once", repeats
    )
    found.tell(times, "bars")
    found.tell(times, "rank")
    whole = times["bars"].median + times["rank"].median
    found.figures |= {"symbols": symbols, "timeframes": frames, "scan_median_s": whole, "ranked": len(rank().opportunities)}
    found.lines.append(
        f"the bars that close once in four hours and the ranking together {seconds(whole)}; between bars the ranking alone"
    )
    found.goals.append(Goal("a scan with every bar closing, median:", whole, 1.0, " s"))
    return found
