"""The vocabulary: what the keys and the words of messages mean, however they are spelt."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

from enigma_core.alert import Action, Stance

LONGEST_KEY = 48

_SEPARATORS = str.maketrans("", "", " _-")


def plain(word: str) -> str:
    """A word without case and separators: ``take_profit``, ``takeProfit`` and ``Take-Profit`` are one."""
    return word.translate(_SEPARATORS).lower()


class Meaning(NamedTuple):
    """What a key names. Of several fields of one name the lowest `rank` counts; `unit` is what the key itself says of it."""

    name: str
    rank: int = 0
    unit: str = ""


_KEYS: dict[tuple[str, int], str] = {
    ("symbol", 0): "ticker symbol pair tvinstrument tickerid instrument tradingpair currencypair tvsymbol symboltv tvticker",
    ("symbol", 1): "market coin asset contract product instid",
    ("exchange", 0): "exchange tvexchange venue",
    ("action", 0): "action signal cmd command tradeaction",
    ("action", 1): "type event operation intent trade alerttype signaltype ordertype",
    ("side", 0): "side direction orderside tradeside orderaction",
    ("side", 1): "positionside",
    ("stance", 0): "marketposition targetposition desiredposition",
    ("stance", 1): "position pos sentiment",
    ("stance", 2): "positionsize targetpositionsize",
    ("previous", 0): "prevmarketposition previousmarketposition prevposition previousposition",
    ("quantity", 0): "qty quantity contracts ordercontracts orderqty orderquantity",
    ("quantity", 1): "size amount orderamount ordersize lots units positionqty",
    ("quantity", 2): "volume",
    ("quantity", 3): "marketpositionsize",
    ("unit", 0): "quantitytype qtytype currencytype sizetype amounttype quantityunit qtyunit unit",
    ("price", 0): "price orderprice limitprice entryprice",
    ("price", 1): "triggerprice limit entry",
    ("leverage", 0): "leverage lev",
    ("stop", 0): "stoploss sl stop stopprice slprice stoplossprice",
    ("take_profit", 0): "takeprofit tp target tpprice takeprofitprice targetprice",
    ("take_profit", 1): "tp1 target1 takeprofit1 targets takeprofits",
    ("further", 0): "tp2 tp3 tp4 tp5 target2 target3 target4 target5 takeprofit2 takeprofit3",
    ("percent", 0): (
        "slpercent stoplosspercent stoppercent slpct stoplosspct tppercent takeprofitpercent targetpercent tppct "
        "takeprofitpct trailpercent trailingstop trailingstoppercent trailprice trailing risk riskpercent"
    ),
    ("id", 0): "id alertid uuid uid orderuid signalid dealid messageid eventid requestid clientorderid clientoid guid",
    ("order", 0): "orderid ordername",
    ("order", 1): "comment ordercomment",
    ("strategy", 0): "strategy strategyname strategyid",
    ("strategy", 1): "bot botname account accountname acct",
    ("interval", 0): "interval timeframe tf resolution",
    ("sent", 0): "timenow sent sentat timestamp triggertime alerttime",
    ("sent", 1): "ts",
    ("time", 0): "time datetime date",
    ("bar_time", 0): "bartime candletime barts opentime",
    ("max_lag", 0): "maxlag",
    ("test", 0): "test istest dryrun",
    ("reduce_only", 0): "reduceonly closeposition closeonly exitonly onlyreduce",
    ("secret", 0): "secret passphrase pin token key password webhooksecret webhookpassphrase webhooktoken webhookkey authtoken",
    ("text", 0): "message text content alertmessage body alert",
    ("aside", 0): (
        "version botuuid botid license licenseid chatid prevmarketpositionsize prevpositionsize "
        "delay delayseconds currency basecurrency quotecurrency timezone userid channel digits"
    ),
}


def _table() -> dict[str, Meaning]:
    found: dict[str, Meaning] = {}
    for (name, rank), words in _KEYS.items():
        for word in words.split():
            found[plain(word)] = Meaning(name, rank)
    for word in (
        "percentage",
        "balancepercentage",
        "balancepercent",
        "qtypercent",
        "quantitypercent",
        "qtypct",
        "equitypercent",
        "percentequity",
        "percentofequity",
    ):
        found[word] = Meaning("quantity", 1, "percent")
    found["percent"] = Meaning("quantity", 2, "percent")
    for word in ("notional", "usd", "usdt", "dollaramount", "quoteqty", "quotequantity", "cost", "usdamount"):
        found[word] = Meaning("quantity", 1, "quote")
    return found


KEYS = _table()

BARS = frozenset(("bar", "candle", "ohlc", "ohlcv", "kline"))
"""Objects that hold a bar: its volume is no quantity, its time the bar's."""

MEASURES = frozenset(("indicators", "indicator", "plots", "values", "ta"))
"""Objects whose numbers are indicators, whatever they are called."""

ASIDES = frozenset(("conditions", "extras", "extra", "meta", "metadata", "comment", "comments", "notes", "tags"))
"""Objects that say nothing of the order. A secret is found in them all the same."""

ORDERS = frozenset(("orders", "alerts", "signals", "trades", "messages"))
"""Lists whose objects are orders."""

_CREDENTIALS = re.compile(
    r".*(?:apikey|apisecret|apipassphrase|apipassword|secretkey|privatekey|accesskey|apitoken)|(?:api|apikeys|apiid)"
)


@functools.lru_cache(4096)
def _meaning(key: str) -> Meaning | None:
    word = plain(key)
    found = KEYS.get(word)
    if found is not None:
        return found
    if _CREDENTIALS.fullmatch(word):
        return Meaning("credential")
    for names, name in ((BARS, "bar"), (MEASURES, "measures"), (ASIDES, "aside"), (ORDERS, "orders")):
        if word in names:
            return Meaning(name)
    head, point, tail = key.rpartition(".")
    return under(plain(head.rpartition(".")[2]), tail) if point and tail else None


def meaning(key: str) -> Meaning | None:
    """What a key names; None where it is not in the vocabulary."""
    return _meaning(key) if len(key) <= LONGEST_KEY else None


_UNDER = {
    ("order", "id"): Meaning("order"),
    ("order", "name"): Meaning("order"),
    ("order", "type"): Meaning("aside"),
    ("strategy", "id"): Meaning("strategy"),
    ("strategy", "name"): Meaning("strategy"),
    ("bot", "name"): Meaning("strategy", 1),
    ("bot", "id"): Meaning("aside"),
    ("account", "id"): Meaning("strategy", 1),
    ("user", "id"): Meaning("aside"),
    ("bar", "time"): Meaning("bar_time"),
    ("candle", "time"): Meaning("bar_time"),
    ("order", "action"): Meaning("side"),
    ("order", "limit"): Meaning("price", 1),
    ("order", "stop"): Meaning("stop", 1),
}
"""Keys that mean something else inside an object of this name."""


def under(parent: str, key: str) -> Meaning | None:
    """What `key` names inside the object `parent` (plain)."""
    return _UNDER.get((parent, plain(key))) or meaning(key)


class Word(NamedTuple):
    """An action word. `stance` is what it says of the position; `closes` which side it means; `needs`: a side must be told too."""

    action: Action | None
    closes: Literal["long", "short"] | None = None
    stance: Stance | None = None
    needs: bool = False
    deals: bool = False
    """Buy or sell: what is done, not what is held."""


def _words() -> dict[str, Word]:
    table: list[tuple[Word, str]] = [
        (Word("long", deals=True), "buy strongbuy buylong longbuy buytoopen"),
        (Word("short", deals=True), "sell strongsell"),
        (Word("long"), "long bull bullish enterlong golong openlong longentry entrylong longenter longopen"),
        (
            Word("short"),
            "short bear bearish entershort goshort openshort shortentry entryshort shortenter shortopen sellshort "
            "shortsell selltoopen",
        ),
        (Word("close"), "close exit closeposition exitposition closetrade exittrade closeorder"),
        (Word("close", stance="flat"), "flat flatten exitall closeall flattenall goflat flattenposition"),
        (
            Word("close", "long"),
            "closelong exitlong longclose longexit selltoclose flattenlong stoplong closebuy exitbuy closelongposition",
        ),
        (
            Word("close", "short"),
            "closeshort exitshort shortclose shortexit buytoclose buytocover cover flattenshort closesell exitsell "
            "closeshortposition",
        ),
        (Word("reverse"), "reverse flip reversal reverseposition"),
        (Word("cancel"), "cancel cancelall cancelorder cancelorders"),
        (Word(None, needs=True), "add increase scalein"),
        (Word("long"), "addlong increaselong"),
        (Word("short"), "addshort increaseshort"),
        (Word("reduce"), "reduce decrease trim scaleout partialclose"),
        (Word("reduce", "long"), "reducelong decreaselong"),
        (Word("reduce", "short"), "reduceshort decreaseshort"),
        (Word("halt"), "halt kill killswitch emergencyclose emergencystop panic stoptrading"),
        (Word(None, needs=True), "open enter entry"),
    ]
    return {plain(spelt): word for word, spellings in table for spelt in spellings.split()}


WORDS = _words()
ADDING = frozenset(("add", "increase", "scalein", "addlong", "increaselong", "addshort", "increaseshort"))

STANCES: dict[str, Stance] = {
    **dict.fromkeys(("long", "bull", "bullish", "buy"), "long"),
    **dict.fromkeys(("short", "bear", "bearish", "sell"), "short"),
    **dict.fromkeys(("flat", "none", "closed", "exit", "close"), "flat"),
}

UNITS = {
    **dict.fromkeys(("base", "fixedquantity", "fixed", "coin", "coins", "baseunits", "basecurrency", "quantity"), "base"),
    **dict.fromkeys(
        ("quote", "dollaramount", "usd", "usdt", "usdc", "dollars", "dollar", "$", "notional", "quotecurrency"), "quote"
    ),
    **dict.fromkeys(
        ("percent", "%", "pct", "percentofequity", "percentofposition", "marginpercent", "equitypercent", "percentequity"),
        "percent",
    ),
    **dict.fromkeys(("contracts", "contract", "lots", "lot", "@", "cont"), "contracts"),
}


@functools.lru_cache(4096)
def _word(text: str) -> Word | None:
    return WORDS.get(plain(text.strip()))


def word(text: str) -> Word | None:
    """The action word that `text` is, None where it is none."""
    return _word(text) if len(text) <= LONGEST_KEY else None


def nearest(text: str, known: Iterable[str]) -> str:
    """``; did you mean 'buy'?`` where a word comes near, else nothing."""
    import difflib

    near = difflib.get_close_matches(plain(text[:LONGEST_KEY]), list(known), n=1, cutoff=0.7)
    return f"; did you mean {near[0]!r}?" if near else ""
