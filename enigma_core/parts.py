"""What a plugin can offer: one class a kind.

A part is a frozen `msgspec.Struct` whose fields are its settings, with bounds and descriptions in ``Annotated[..., Meta()]``.
The constructor stores them and does nothing else; the methods do the work, and are the same in a notebook, a test and the
engine. Pure kinds (indicator, gate, sizer, exit) touch neither clock, network nor randomness.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from enigma_core.alert import Alert, AlertRefused, AlertWorked, Mode, Receipt, Request
from enigma_core.errors import PluginError
from enigma_core.lines import Floats
from enigma_core.market import Funding, Market, MarketEvent
from enigma_core.model import (
    Blocked,
    Candles,
    CloseWanted,
    Decision,
    ExternalSeen,
    Fill,
    Funded,
    Instrument,
    Lasting,
    Order,
    OrderEnded,
    OrderFound,
    OrderSeen,
    Signal,
    Sizing,
    Sliced,
    StateSet,
    StopMissing,
    StreakReset,
    Transferred,
)

if TYPE_CHECKING:
    import asyncio
    import pathlib
    from concurrent.futures import Future

    from enigma_core.book import Book
    from enigma_core.plan import Costs, Plan
    from enigma_core.scoring import Evaluation

API_VERSION = 1
"""The version of these classes. A plugin module may state ``enigma_api = 1``; another number is refused with a sentence."""

Bools = npt.NDArray[np.bool_]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all kinds share: a `name`, unique within its kind, and settings as fields."""

    kind: ClassVar[str] = ""
    name: ClassVar[str] = ""


class Indicator(Part, frozen=True, kw_only=True):
    """Turns candles into points: positive is bullish, NaN abstains.

    `streams`: every line with a memory comes from ``candles.ta`` and comparisons reach back fewer than `lines.TAIL` bars,
    so the live path may feed it one bar at a time. Left False, it is given the last `warmup` bars each time.
    """

    kind: ClassVar[str] = "indicator"
    streams: ClassVar[bool] = False
    max_points: float = 0.0

    @property
    def warmup(self) -> int:
        """Bars after which the last point on these alone equals the last point on all history, within 1e-9 of max_points."""
        raise NotImplementedError

    def points(self, candles: Candles) -> Floats:
        """(n,) float64 within +-max_points; item i from bars 0..i only; NaN before it has enough bars."""
        return np.zeros(len(candles))

    def line(self, candles: Candles) -> Floats | None:
        """(n,) the raw line that gates, sizing and exits may read by this part's name; None when it has none to offer."""
        return None


class LiveIndicator(Part, frozen=True, kw_only=True):
    """Reads what history does not hold: book, trades, funding, mark and index, alerts. Abstains in a plain backtest."""

    kind: ClassVar[str] = "indicator"
    max_points: float = 0.0

    def points_now(self, market: Market, now: int) -> float:
        """Points within +-max_points for this moment (`now` in ms); NaN abstains."""
        raise NotImplementedError


class Gate(Part, frozen=True, kw_only=True):
    """A named measure against a limit. The verdict explains itself. NaN never passes."""

    kind: ClassVar[str] = "gate"

    @property
    def limit(self) -> str:
        """The limit as a person reads it: ``>= 75``."""
        raise NotImplementedError

    def passes(self, value: Any) -> Any:
        """True where `value` (a float, or an array of them) is finite and within the limit."""
        raise NotImplementedError


class MarketGate(Gate, frozen=True, kw_only=True):
    """A gate that needs only the market. `reads` names the indicators whose lines it asks the evaluation for."""

    reads: ClassVar[tuple[str, ...]] = ()
    judges_score: ClassVar[bool] = False
    """True for a gate on our own votes: an alert that is itself the signal is not asked for them."""

    def applies(self, evaluation: Evaluation) -> bool:
        """False where the data the gate needs does not exist here: it abstains, passes, and says so."""
        return True

    def measure(self, evaluation: Evaluation) -> Floats:
        """(n,) one value per bar of the evaluation."""
        raise NotImplementedError


class Account(Protocol):
    """What gates and sizers may read of the account. Money is `Decimal`, in the quote currency."""

    @property
    def equity(self) -> Decimal: ...
    @property
    def cash(self) -> Decimal: ...
    @property
    def margin(self) -> Decimal:
        """Margin of open positions and of entries still working."""
        ...

    @property
    def slots(self) -> int:
        """Open positions and entries still working; a position that is closing holds its slot until it is flat."""
        ...

    @property
    def day_equity(self) -> Decimal:
        """Equity at the start of the risk day."""
        ...

    @property
    def day_end(self) -> int:
        """When the risk day ends, ms."""
        ...

    @property
    def losses_in_row(self) -> int:
        """Losing trades since the last winning one, reset, or breaker's end."""
        ...

    @property
    def trading_state(self) -> str:
        """ACTIVE, REDUCE_ONLY or HALTED."""
        ...

    def holds(self, symbol: str) -> bool: ...
    def open_risk(self, fee: Decimal) -> Decimal:
        """What the equity loses from here when every stop fills at its price, entries that still work included; `fee` of each
        notional that is yet to be traded."""
        ...

    def blocked(self, symbol: str) -> str:
        """Why the venue takes no entry in `symbol` now; empty when it does."""
        ...

    def last_exit(self, symbol: str) -> int | None: ...


class AccountGate(Gate, frozen=True, kw_only=True):
    """A gate that needs the account. It sees the signal already sized (`signal.margin`, `signal.leverage`)."""

    def measure(self, signal: Signal, account: Account) -> float:
        raise NotImplementedError

    def until(self, signal: Signal, account: Account) -> int | None:
        """When a refusal ends by itself, ms; None where only events end it."""
        return None

    def clears(self, account: Account) -> bool:
        """True when the start of a new risk day clears the losing streak."""
        return False


class Sizer(Part, frozen=True, kw_only=True):
    """How much of it."""

    kind: ClassVar[str] = "sizer"

    def size(self, signal: Signal, instrument: Instrument, account: Account) -> Sizing:
        """Quantity zero means no trade, and `bound` says why."""
        raise NotImplementedError


class Holding(msgspec.Struct, frozen=True):
    """A position as exits see it. Each field is a number, or an array of shape (m, 1) for m positions at once."""

    side: Any
    entry: Any
    leverage: Any
    atr: Any
    fee_in: float
    fee_out: float


class Path(msgspec.Struct, frozen=True, eq=False):
    """The bars since entry, the entry's bar first: arrays whose last axis is time, perhaps with an axis of positions before it.

    `score` is the primary timeframe's score where a primary bar closes with this bar, else NaN; NaN also for the bars before
    a restart.
    """

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    score: Floats


class Target(msgspec.Struct, frozen=True):
    """Take `fraction` of the original quantity at `level`: by a market order once met, or `resting` there as a limit order."""

    level: Any
    fraction: float = 1.0
    resting: bool = False


class Exit(Part, frozen=True, kw_only=True):
    """When and where to get out. The engine takes the tightest stop of all exits and never loosens it.

    Work along the last axis (``axis=-1``): a backtest asks about many positions at once.
    """

    kind: ClassVar[str] = "exit"

    def first_stop(self, position: Holding) -> Any:
        """The stop level the moment the entry has filled, NaN for none; shape as the position's fields."""
        return position.entry * np.nan

    def stops(self, position: Holding, path: Path) -> Floats | None:
        """(..., m) stop level known at each bar's close, item i from bars 0..i, NaN for none; None: `first_stop` is all."""
        return None

    def targets(self, position: Holding) -> Sequence[Target]:
        """Levels to take profit at, fixed at entry."""
        return ()

    def closes(self, position: Holding, path: Path) -> Bools | None:
        """(..., m) True where the position should be closed at the next open; None: never."""
        return None


class Clock(Protocol):
    """The time a shell lives in: wall, accelerated or virtual."""

    def now(self) -> int:
        """ms."""
        ...

    async def until(self, ts: int) -> None:
        """Wait for `ts`."""
        ...


class Check(msgspec.Struct, frozen=True):
    """What `enigma doctor` found out about one thing: `ok`, `warn` for what should be looked at, `fail` for what must be mended."""

    check: str
    level: Literal["ok", "warn", "fail"]
    text: str
    """A sentence; with the remedy unless all is well."""


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A market on offer, as a screener sees it: `turnover` of 24 h in quote currency, `spread` (ask - bid) / mid; NaN: unknown."""

    symbol: str
    turnover: float
    spread: float
    funding: float = float("nan")
    """The current rate, of `funding_hours`."""
    funding_hours: float = 8.0
    price: float = float("nan")
    active: bool = True


class Feed(Part, frozen=True, kw_only=True):
    """Where market data comes from. Closed bars only, ascending; gaps are reported, never filled in silence."""

    kind: ClassVar[str] = "feed"
    simulated: ClassVar[bool] = False
    """True when the feed's time is its own, so that a shell may run it at any `speed`."""

    @property
    def speed(self) -> float:
        """How many times as fast as real time a simulated feed is run, 0 for as fast as possible; most have it as a setting."""
        return 0.0

    def identity(self) -> str:
        """What market this is, in one line: a paper account belongs to one market."""
        return self.name

    @property
    def pulse(self) -> float | None:
        """Seconds within which each symbol of its stream gives some sign of life: after that its price counts as unknown. None: no
        such promise."""
        return None

    @property
    def reach(self) -> int | None:
        """How far back (ms) `history` goes where no start is asked for; more is slow to fetch. None: all there is, at no cost."""
        return None

    def symbols(self) -> tuple[str, ...]:
        """Symbols on offer, for a run that names none."""
        raise NotImplementedError

    def instrument(self, symbol: str) -> Instrument:
        """Raises `DataError` naming the nearest known symbols."""
        raise NotImplementedError

    def base_timeframe(self) -> str:
        """The finest timeframe on offer."""
        raise NotImplementedError

    def history(self, symbol: str, timeframe: str, start: int | None = None, end: int | None = None) -> Candles:
        """Closed bars with ``start <= ts < end``. Raises `DataError` naming file, line and value of what is wrong."""
        raise NotImplementedError

    def funding(self, symbol: str) -> Funding | None:
        """Settlements over the history, None where the feed has none."""
        return None

    def settlements(self, symbol: str, start: int | None = None, end: int | None = None) -> Funding | None:
        """Settlements with ``start <= ts < end`` for whoever keeps history. A live feed fetches them: its `funding` is None, as
        what is to come is announced on its stream."""
        return self.funding(symbol)

    def listings(self) -> Sequence[Listing]:
        """Every market on offer as it stands now. A feed that knows no turnover says so by NaN, and nothing is left out for it."""
        nan = float("nan")
        return tuple(Listing(symbol=symbol, turnover=nan, spread=nan) for symbol in self.symbols())

    def report(self, symbols: Iterable[str] | None = None) -> Mapping[str, object]:
        """What was found in the data of `symbols` (all of them without it), by symbol: `str` says it, and it is true where a
        person should know, such as of gaps."""
        return {}

    def examine(self) -> Iterable[Check]:
        """What `enigma doctor` asks: can it be reached, is its clock ours. Changes nothing and needs no run."""
        return ()

    def stream(self, symbols: Sequence[str], timeframe: str, since: int | None) -> AsyncIterator[MarketEvent]:
        """Events in order of time, those after `since` (ms) only. A simulated feed does not wait.

        Bars of one close come together, and after everything else of that moment: with them the moment is over. What a venue
        tells whoever connects (a book, an announced funding rate) may be of before `since` and comes first.
        """
        raise NotImplementedError


Report = Fill | Funded | OrderEnded | OrderSeen | OrderFound | ExternalSeen | Transferred | Blocked | StopMissing | Sliced
"""What a venue tells the engine."""


class Executor(Part, frozen=True, kw_only=True):
    """Where orders go. `open` gives the working connection."""

    kind: ClassVar[str] = "executor"
    remote: ClassVar[bool] = False
    """True where orders travel and answers take their time: `open` then gives a `RemoteVenue`."""

    def identity(self) -> str:
        """Whose account this is, in one line without any secret: a journal of real money belongs to one account."""
        return self.name

    def prepare(self, home: pathlib.Path, mode: str) -> Sequence[str]:
        """Before a run begins: check what it needs, such as keys. What it answers is shown.

        Raises `ConfigError` where it must not trade as it is set up, with what to change.
        """
        return ()

    def examine(self, symbols: Sequence[str] = ()) -> Iterable[Check]:
        """What `enigma doctor` asks: may its key be used as it should, is the account set up for `symbols`. Changes nothing."""
        return ()

    def open(self, ports: Ports) -> Venue:
        """A working connection. Raises `ConfigError` where something it needs is not set."""
        raise NotImplementedError


def _nothing(kind: str, name: str) -> bool:
    return False


def _no_orders() -> Sequence[Order]:
    return ()


def _no_time() -> int:
    return 0


class Ports(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What an executor is given: instruments and past funding by symbol, what trading costs, the account it takes over.

    An account goes on from `since`, the time of its last step, ms; `seen` has the close of each symbol's last bar before that.
    """

    instruments: Mapping[str, Instrument]
    costs: Costs
    funding: Mapping[str, Funding | None]
    account: Book | None = None
    since: int = 0
    seen: Mapping[str, int] = {}
    opened: int = 0
    """When the first money of the account was booked, by the venue's clock (ms); 0 while none is."""
    desk: Desk | None = None
    """For services: the engine as it can be asked and told."""
    mode: str = "paper"
    recorded: Callable[[str, str], bool] = _nothing
    """Whether a record of this kind ("fill", "funded", "transferred") and id is written down already."""
    known: Callable[[], Sequence[Order]] = _no_orders
    """Orders of the last days, the newest last, whether or not they still work: those of ours that a venue may know."""
    slices: Sequence[Order] = ()
    """Slices of orders that still work, as they were written down."""
    wall: Callable[[], int] = _no_time
    """The wall's time, ms."""


class Venue(Protocol):
    """An open executor. Submitting an order whose id is known is a no-op; an unclear outcome is reported, never guessed."""

    def submit(self, order: Order) -> None: ...
    def cancel(self, order_id: str) -> None: ...
    def answers(self) -> Iterator[Report]:
        """What submitted orders met at once, lazily."""
        ...

    def match(self, event: MarketEvent) -> Iterator[Report]:
        """A simulated venue's answers to a market event, lazily: orders submitted between two of them count already."""
        ...


Tell = Callable[[Sequence["Report | Command"]], "Future[None]"]
"""Has the engine take reports in, as one step; the answer is done once that is on disk."""


class RemoteVenue(Venue, Protocol):
    """A venue that is somewhere else. `submit` and `cancel` only note what is wanted; `match` looks at the market.

    Nothing leaves before it is on disk: after each step of the engine `dispatch` is called with the writing of that step, and
    what was submitted since the last call is sent once that is done, never when it has failed.
    """

    def dispatch(self, written: Future[None]) -> None:
        """What was submitted and cancelled since the last call may be sent when `written` is done."""
        ...

    async def serve(self, tell: Tell, ready: asyncio.Event) -> None:
        """Work until cancelled: recover, protect what is held, set `ready`; from then on send, look up and reconcile.

        What cannot be reached is waited for: it does not end the run.
        """
        ...

    def doubt(self, reason: str) -> None:
        """Something may have been missed (the machine slept, say): no entries before all is reconciled once more."""
        ...

    @property
    def doubted(self) -> bool:
        """Whether the book may be of before: something may have been missed, or a difference is still to be explained."""
        ...

    @property
    def calm(self) -> bool:
        """Whether nothing that could open a position is at the venue, and all that is held was seen to be protected there."""
        ...

    async def close(self) -> None:
        """Wait for the requests that are under way, a few seconds at most; stops stay where they are."""
        ...


class Rehearsing(Protocol):
    """A local exchange that is running."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings by path that have a run trade on it (``executor.url``, ``feed.url`` and the like), keys included."""
        ...

    @property
    def told(self) -> Sequence[str]:
        """What a person should know, a line each."""
        ...

    def fault(self) -> str:
        """Why it has ended by itself, as a sentence; empty while it runs."""
        ...

    def close(self) -> None:
        """End it; what it holds is kept for the next time."""
        ...


class Rehearsal(Part, frozen=True, kw_only=True):
    """A local exchange to rehearse live trading on: its protocol is a real one's, its money is not."""

    kind: ClassVar[str] = "rehearsal"

    def start(self, home: pathlib.Path) -> Rehearsing:
        """Have it run, with its account kept under `home`. Raises `ConfigError` or `HomeError` where it cannot."""
        raise NotImplementedError


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A slice as its algorithm sees it: what was ordered, what of it has filled, and whether it still works."""

    order: Order
    filled: Decimal
    working: bool


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """An order that an algorithm works: the order itself (its `ts` is when it began), its instrument, its slices so far."""

    order: Order
    instrument: Instrument
    pieces: tuple[Piece, ...] = ()

    @property
    def filled(self) -> Decimal:
        return sum((piece.filled for piece in self.pieces), Decimal(0))

    @property
    def working(self) -> Decimal:
        """Contracts that working slices may still fill."""
        return sum((piece.order.quantity - piece.filled for piece in self.pieces if piece.working), Decimal(0))

    @property
    def left(self) -> Decimal:
        """Contracts that are neither filled nor at work."""
        return self.order.quantity - self.filled - self.working


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """What an algorithm wants sent: contracts, and a limit price unless it goes to the market."""

    quantity: Decimal
    price: Decimal | None = None
    lasts: Lasting = "GTC"
    post_only: bool = False


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """What to do now: slices to send, slices (by order id) to cancel, when to be asked again (ms) at the latest.

    `over`: nothing more will be sent; what has not filled by the time the working slices end is given up.
    """

    send: tuple[Slice, ...] = ()
    cancel: tuple[str, ...] = ()
    again: int | None = None
    over: bool = False


class Algorithm(Part, frozen=True, kw_only=True):
    """How an entry is worked: at once, patiently, in slices. Pure: the same work, market and moment give the same advice.

    It is asked when the order comes, when the market or a slice has news, and at `Advice.again`; after a restart it is asked
    with the slices that were written down. Exits do not pass through it: they go to the market.
    """

    kind: ClassVar[str] = "algorithm"
    whole: ClassVar[bool] = False
    """True where everything always goes to the market at once: entries are then handed to the venue as they are."""

    def advise(self, work: Work, market: Market, now: int) -> Advice:
        """What to do about `work` at `now` (ms). Never more than `work.left` may be sent."""
        raise NotImplementedError


class Universe(Part, frozen=True, kw_only=True):
    """Which symbols a run trades, found when it starts instead of written down (``symbols: {"use": NAME}``)."""

    kind: ClassVar[str] = "universe"

    def choose(self, plan: Plan, since: int | None, tell: Callable[[str], None]) -> Sequence[str]:
        """Symbols of ``plan.feed``, the best first; it may ask the feed, and take its time.

        `since` is the market's time that the account has come to, ms; None where it begins now. `tell` takes what a person should
        know, a sentence each. Raises `DataError` where there is nothing to choose from.
        """
        raise NotImplementedError


class Note(msgspec.Struct, frozen=True):
    """Something worth telling a person."""

    ts: int
    event: str
    title: str
    text: str = ""


class Notifier(Part, frozen=True, kw_only=True):
    """Tells people. May fail; never matters to trading."""

    kind: ClassVar[str] = "notifier"

    async def send(self, note: Note) -> None:
        raise NotImplementedError


Command = StateSet | StreakReset | CloseWanted
"""What an operator, or a service in his name, may tell the engine."""


class Inbox(Protocol):
    """The one way to the engine for what does not come from the feed. Bounded: `put` waits while it is full."""

    async def put(self, event: MarketEvent | Command) -> None: ...


class Applied(msgspec.Struct, frozen=True):
    """What a change of settings came to: paths in force at once, and paths that wait for the next start."""

    now: tuple[str, ...]
    restart: tuple[str, ...]


class Desk(Protocol):
    """A run as the services beside it see it: to be asked at any time, and told through its one task.

    What raises `HomeError` has not been written: the journal has failed, or the run is ending. Nothing here waits for the market.
    """

    @property
    def state(self) -> Literal["recovering", "ready", "stopping"]: ...
    @property
    def plan(self) -> Plan:
        """The settings in force."""
        ...

    @property
    def account(self) -> Book:
        """The account as it is, to be read only."""
        ...

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """Of the symbols this run trades."""
        ...

    @property
    def home(self) -> pathlib.Path:
        """The run's folder."""
        ...

    @property
    def journal(self) -> pathlib.Path:
        """The database, to be read with `enigma_core.reading.Reader`."""
        ...

    @property
    def waiting(self) -> int:
        """Alerts written down and not yet worked."""
        ...

    @property
    def lag(self) -> float:
        """Seconds since the engine last took in anything from its feed."""
        ...

    def now(self) -> int:
        """The market's time, ms: the wall's, but for feeds with a time of their own."""
        ...

    async def accept(self, alerts: Sequence[Alert]) -> list[Receipt]:
        """Write the alerts of one message down, all or none, and have each that is new worked once. Returns when they are on disk.

        Raises `Busy` where too many wait already, `HomeError` where they cannot be written.
        """
        ...

    async def refuse(self, refusal: AlertRefused) -> None:
        """Write down that a message was not accepted, and tell the user. Silently left out when there are too many of them."""
        ...

    async def tell(self, command: Command) -> Sequence[Any]:
        """Have the engine take in a command; the records it led to, once they are on disk."""
        ...

    def rehearse(self, request: Request, mode: Mode) -> tuple[AlertWorked, Decision | None]:
        """What would become of an alert at this moment. Changes nothing."""
        ...

    def evaluation(self, symbol: str) -> Evaluation | None:
        """The newest primary bar of `symbol` scored as of now, microstructure included; None before the first has closed."""
        ...

    def routes(self) -> Mapping[str, Sequence[Any]]:
        """What plugins add to the API (hook `enigma_routes`): route handlers, by the plugin that brings them."""
        ...

    def watch(self, see: Callable[[Any], None]) -> Callable[[], None]:
        """Have `see` called with every record once the engine has given it; calling the answer ends that. It must not wait."""
        ...

    def settings(self) -> dict[str, Any]:
        """The configuration in force, complete, secrets hidden."""
        ...

    async def configure(self, changes: Mapping[str, Any], by: str) -> Applied:
        """Change settings by path (``gates.score.min``), None for the default. All of them or none; kept for later runs.

        Raises `ConfigError` with everything that is wrong.
        """
        ...


class Service(Part, frozen=True, kw_only=True):
    """A long-running task beside the engine, cancelled when the run ends. One that fails ends the run."""

    kind: ClassVar[str] = "service"

    def prepare(self, home: pathlib.Path, mode: str) -> Sequence[str]:
        """Before a run begins: make and check what it needs, such as secrets and a free port. What it answers is shown.

        Raises `ConfigError` where it must not serve as it is set up, with what to change.
        """
        return ()

    async def serve(self, inbox: Inbox, ports: Ports) -> None:
        """Work until cancelled. `ports.account` is the account as it is, to be read only."""
        raise NotImplementedError


KINDS: dict[str, tuple[type[Part], ...]] = {
    "indicator": (Indicator, LiveIndicator),
    "gate": (MarketGate, AccountGate),
    "sizer": (Sizer,),
    "exit": (Exit,),
    "feed": (Feed,),
    "executor": (Executor,),
    "algorithm": (Algorithm,),
    "rehearsal": (Rehearsal,),
    "universe": (Universe,),
    "notifier": (Notifier,),
    "service": (Service,),
}
"""Every kind of part and the classes one of its parts derives from."""


def kind_of(part: type[Part]) -> str:
    """The kind a part class belongs to. Raises `PluginError` when it derives from none."""
    for kind, bases in KINDS.items():
        if issubclass(part, bases):
            return kind
    raise PluginError(f"{part.__module__}.{part.__qualname__} derives from no kind of part ({', '.join(KINDS)})")
