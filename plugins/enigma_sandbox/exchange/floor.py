"""The exchange's parts held together: what every endpoint and every button works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from random import Random

from enigma_core.market import Funding
from enigma_core.model import Candles
from enigma_sandbox.exchange.account import Account
from enigma_sandbox.exchange.faults import Faults
from enigma_sandbox.exchange.outlet import Outlet
from enigma_sandbox.exchange.quota import Quota
from enigma_sandbox.exchange.refusals import Refusal, no_symbol
from enigma_sandbox.exchange.rules import Contract, Rules
from enigma_sandbox.exchange.state import MarketState, State
from enigma_sandbox.exchange.tape import Tape
from enigma_sandbox.exchange.trading import Trading


class Floor:
    """State, markets, account and orders of one exchange."""

    def __init__(
        self,
        contracts: Sequence[Contract],
        rules: Rules,
        clock: Callable[[], int],
        random: Random,
        faults: Faults,
        history: Mapping[str, Candles],
        funding: Mapping[str, Funding],
    ) -> None:
        for contract in contracts:
            lot = contract.instrument.lot
            if lot != lot.to_integral_value():
                raise ValueError(
                    f"contract {contract.symbol}: its lot is {lot}; KuCoin's contracts are whole, so it must be a whole number"
                )
        self.contracts = {c.symbol: c for c in contracts}
        self.names = {c.instrument.symbol: c.symbol for c in contracts} | {c.symbol: c.symbol for c in contracts}
        self.rules = rules
        self.clock = clock
        self.random = random
        self.faults = faults
        self.outlet = Outlet(faults, random, rules.user)
        self.quota = Quota(rules.quota, rules.quota_window)
        self.endpoint = rules.endpoint
        self.tokens: dict[str, tuple[str, int]] = {}
        self._history = history
        self._funding = funding
        self.begin(State())

    def begin(self, state: State) -> None:
        """Stand on `state` from here on."""
        self.state = state
        slippage = float(self.rules.slippage)
        self.tapes: dict[str, Tape] = {}
        for symbol, contract in self.contracts.items():
            seen = contract.instrument.symbol
            market = state.markets.setdefault(symbol, MarketState(hours=contract.funding_hours))
            self.tapes[symbol] = Tape(
                contract,
                market,
                self._history.get(symbol, self._history.get(seen)),
                self._funding.get(symbol, self._funding.get(seen)),
                slippage,
            )
        self.account = Account(state, self.tapes, self.rules, self.outlet)
        self.trading = Trading(self.account)

    def now(self) -> int:
        """The exchange's own clock."""
        return self.clock() + self.faults.skew

    def tape(self, symbol: str) -> Tape:
        """The market of a contract. Raises `Refusal` where there is none."""
        found = self.tapes.get(symbol)
        if found is None:
            raise no_symbol(symbol)
        return found

    def limits(self, tape: Tape) -> tuple[Decimal, Decimal]:
        """The highest price of a buy and the lowest of a sell: 5 % from the mark."""
        mark = tape.mark
        return tape.instrument.price(mark * 1.05), tape.instrument.price(mark * 0.95)

    def tradable(self, tape: Tape) -> None:
        """Raises `Refusal` where a contract takes no orders."""
        status = tape.state.status
        if status == "Closed":
            raise no_symbol(tape.contract.symbol)
        if status != "Open":
            raise Refusal("300002", "Order placement/cancellation suspended, please try again later.")
