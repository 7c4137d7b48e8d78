"""Messages as they are seen in the wild, and what each asks for.

`GOOD` has every shape, `BROKEN` those with a fault that is read all the same: each with the fields its orders are read as, and (for
the broken) a word of the warning. Fields that are not named are to be absent; `warnings` are not compared.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

SECRET = "correct-horse-battery-staple-9"

D = Decimal
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


class Message(NamedTuple):
    """A message and what it asks for: one dict of fields for each order."""

    name: str
    text: str
    orders: tuple[dict[str, Any], ...]
    warning: str = ""


def one(name: str, text: str, warning: str = "", **fields: Any) -> Message:
    return Message(name, text, (fields,), warning)


USERS_OWN = (
    '{"secret":"SECRET","timestamp":"2026-01-31T12:00:07Z","exchange":"KUCOIN","symbol":"XBTUSDTM","interval":"30","action":"buy",'
    '"indicators":{"rsi":28.4,"macd":-3.1,"adx":31,"close":50000.5},"conditions":{"rsi_oversold":RSI Long,"macd_cross":"Long"}}'
).replace("SECRET", SECRET)

GOOD = (
    one(
        "1 the user's own",
        USERS_OWN,
        symbol=BTC,
        exchange="KUCOIN",
        side="long",
        time="2026-01-31T12:00:07Z",
        indicators={"rsi": 28.4, "macd": -3.1, "adx": 31.0, "close": 50000.5},
        secret=SECRET,
    ),
    one(
        "2 flat",
        '{"ticker":"BTCUSDT","action":"buy","contracts":"0.5","price":"50000","time":"2026-01-31T12:00:00Z"}',
        symbol=BTC,
        side="long",
        quantity=D("0.5"),
        quantity_unit="base",
        price=D(50000),
        time="2026-01-31T12:00:00Z",
    ),
    one(
        "3 nested",
        '{"ticker":"ETHUSDT.P","strategy":{"order":{"action":"sell","contracts":1.25,"id":"Long exit","price":2500.5},'
        '"market_position":"flat","prev_market_position":"long"}}',
        symbol=ETH,
        side="short",
        position="flat",
        quantity=D("1.25"),
        quantity_unit="base",
        price=D("2500.5"),
        closes="long",
        previous="long",
        order="Long exit",
    ),
    one(
        "4 with a bar",
        '{"passphrase":"SECRET","time":"2026-01-31T12:00:04Z","exchange":"BINANCE","ticker":"BTCUSDT.P","bar":{"time":"2026-01-31T11:30:00Z",'
        '"open":50000,"high":50100,"low":49900,"close":50050,"volume":1234.5},"strategy":{"position_size":-0.7,"order_action":"sell",'
        '"order_contracts":1.4,"order_price":50050,"order_id":"Short","market_position":"short","market_position_size":0.7,'
        '"prev_market_position":"long","prev_market_position_size":0.7}}'.replace("SECRET", SECRET),
        symbol=BTC,
        exchange="BINANCE",
        side="short",
        position="short",
        quantity=D("1.4"),
        quantity_unit="base",
        price=D(50050),
        time="2026-01-31T12:00:04Z",
        previous="long",
        order="Short",
        secret=SECRET,
    ),
    one(
        "5 3Commas",
        '{"secret":"SECRET","max_lag":"300","timestamp":"2026-01-31T12:00:00Z","trigger_price":"50000.1","tv_exchange":"BINANCE",'
        '"tv_instrument":"BTCUSDT.P","action":"enter_long","bot_uuid":"9f0c3a2e-0000-4000-8000-000000000000",'
        '"order":{"amount":"150","currency_type":"quote"}}'.replace("SECRET", SECRET),
        symbol=BTC,
        exchange="BINANCE",
        side="long",
        quantity=D(150),
        quantity_unit="quote",
        price=D("50000.1"),
        time="2026-01-31T12:00:00Z",
        max_lag=300_000,
        secret=SECRET,
    ),
    one(
        "6 TradersPost",
        '{"ticker":"BTCUSDT","action":"buy","sentiment":"bullish","quantity":10,"quantityType":"percent_of_equity","price":50000,'
        '"takeProfit":{"limitPrice":52000.5},"stopLoss":{"type":"stop","stopPrice":49000},"extras":{"qty":3,"action":"sell"}}',
        symbol=BTC,
        side="long",
        position="long",
        quantity=D(10),
        quantity_unit="percent",
        price=D(50000),
        stop=D(49000),
        take_profit=D("52000.5"),
    ),
    one("6 TradersPost exit", '{"ticker":"BTCUSDT","action":"exit"}', symbol=BTC, side="close"),
    one(
        "6 TradersPost sell to flat",
        '{"ticker":"BTCUSDT","action":"sell","sentiment":"flat"}',
        symbol=BTC,
        side="short",
        position="flat",
        closes="long",
    ),
    one("6 TradersPost cancel", '{"ticker":"BTCUSDT","action":"cancel"}', symbol=BTC, action="cancel"),
    one(
        "6 TradersPost add", '{"ticker":"BTCUSDT","action":"add","sentiment":"bearish"}', symbol=BTC, side="short", position="short"
    ),
    one("6 TradersPost test", '{"ticker":"BTCUSDT","action":"buy","test":true}', symbol=BTC, side="long", test=True, asks=False),
    one(
        "7 OctoBot",
        f"EXCHANGE=kucoin;SYMBOL=BTCUSDT;SIGNAL=BUY;ORDER_TYPE=MARKET;VOLUME=2%;TOKEN={SECRET}",
        symbol=BTC,
        exchange="KUCOIN",
        side="long",
        quantity=D(2),
        quantity_unit="percent",
        secret=SECRET,
    ),
    one(
        "7 OctoBot, one pair a line",
        f"EXCHANGE=kucoin\nSYMBOL=BTCUSDT\nSIGNAL=SELL\nORDER_TYPE=MARKET\nVOLUME=0.25\nTOKEN={SECRET}\n",
        symbol=BTC,
        exchange="KUCOIN",
        side="short",
        quantity=D("0.25"),
        quantity_unit="base",
        secret=SECRET,
    ),
    Message(
        "8 position words",
        "myAccount BTCUSDT.P pos -0.5 x3\nacct ETHUSDT.P buy 100$ x5",
        (
            {
                "symbol": BTC,
                "side": "short",
                "position": "short",
                "quantity": D("0.5"),
                "quantity_unit": "base",
                "leverage": D(3),
                "strategy": "myAccount",
            },
            {
                "symbol": ETH,
                "side": "long",
                "quantity": D(100),
                "quantity_unit": "quote",
                "leverage": D(5),
                "strategy": "acct",
            },
        ),
    ),
    one(
        "9 CSV",
        f"60123456789,buy,EURUSD,risk=1,sl=20,tp=40,secret={SECRET}",
        symbol="EUR/USD:USD",
        side="long",
        stop=D(20),
        take_profit=D(40),
        secret=SECRET,
    ),
    one("10 prose", "BUY BTCUSDT", symbol=BTC, side="long"),
    one(
        "10 prose with levels",
        "sell ETHUSDT.P QTY:0.5 SL:2500 TP:2100",
        symbol=ETH,
        side="short",
        quantity=D("0.5"),
        quantity_unit="base",
        stop=D(2500),
        take_profit=D(2100),
    ),
    Message(
        "11 array",
        '[{"symbol":"BTCUSDT","action":"close"},{"symbol":"ETHUSDT","action":"buy","qty":2}]',
        ({"symbol": BTC, "side": "close"}, {"symbol": ETH, "side": "long", "quantity": D(2), "quantity_unit": "base"}),
    ),
    one(
        "12 built in Pine",
        '{"order":{"ticker":"KUCOIN:XBTUSDTM","side":"long","size":"5@","lev":"3x"},"alert":{"id":"x-1"}}',
        symbol=BTC,
        exchange="KUCOIN",
        side="long",
        quantity=D(5),
        quantity_unit="contracts",
        leverage=D(3),
        id="x-1",
    ),
    one(
        "13 an indicator feed",
        '{"symbol":"BTCUSDT","rsi":28.4,"macd":-3.1,"close":50000}',
        symbol=BTC,
        indicators={"rsi": 28.4, "macd": -3.1, "close": 50000.0},
        asks=False,
    ),
)

LIKE_THEM = (
    one(
        "TradingView's own proposal",
        "MACD Strategy (12, 26, close, 9): order sell @ 0.75 filled on BTCUSDT.P. New strategy position is -0.25",
        symbol=BTC,
        side="short",
        position="short",
        quantity=D("0.75"),
        quantity_unit="base",
        strategy="MACD Strategy (12, 26, close, 9)",
    ),
    one(
        "as channels write it",
        "LONG #BTCUSDT entry 50,000 - targets: 51000 stop: 49000 leverage: 10x",
        symbol=BTC,
        side="long",
        price=D(50000),
        take_profit=D(51000),
        stop=D(49000),
        leverage=D(10),
    ),
    one(
        "a position in percent",
        "acct $BTCUSDT pos -50% x2",
        symbol=BTC,
        side="short",
        position="short",
        quantity=D(50),
        quantity_unit="percent",
        leverage=D(2),
        strategy="acct",
    ),
    one("a list under a name of its own", '{"data":[{"symbol":"BTCUSDT","action":"buy"}]}', symbol=BTC, side="long"),
    one(
        "close beside a position held after it",
        '{"symbol":"BTCUSDT","action":"close","market_position":"long"}',
        symbol=BTC,
        side="close",
    ),
    one(
        "reduce beside a position held after it",
        '{"symbol":"BTCUSDT","action":"reduce","market_position":"short","qty":1}',
        symbol=BTC,
        side="close",
        action="reduce",
        closes="short",
        quantity=D(1),
        quantity_unit="base",
    ),
    one("deep in an object", '{"a":{"b":{"c":{"pair":"BTC-USDT","signal":"bearish"}}}}', symbol=BTC, side="short"),
    one(
        "keys in any case",
        '{"Ticker":"BTC/USDT","ACTION":"Sell","Take-Profit":"40000","stopLoss":60000}',
        symbol=BTC,
        side="short",
        take_profit=D(40000),
        stop=D(60000),
    ),
    one(
        "levels as objects",
        '{"symbol":"BTCUSDT","action":"buy","tp":{"price":52000},"sl":{"percent":2}}',
        symbol=BTC,
        side="long",
        take_profit=D(52000),
    ),
    one(
        "pairs with &",
        f"symbol=BTCUSDT&action=sell&qty=1%25&secret={SECRET}",
        symbol=BTC,
        side="short",
        quantity=D(1),
        quantity_unit="percent",
        secret=SECRET,
    ),
    one(
        "pairs with commas",
        f"symbol=BTCUSDT, action=buy, qty=0.5, passphrase={SECRET}",
        symbol=BTC,
        side="long",
        quantity=D("0.5"),
        quantity_unit="base",
        secret=SECRET,
    ),
    one("pairs with blanks", "symbol=BTCUSDT action=buy quantity=3", symbol=BTC, side="long", quantity=D(3), quantity_unit="base"),
    one("pairs with colons", "symbol: BTCUSDT\naction: close_short\nid: 77", symbol=BTC, side="close", closes="short", id="77"),
    one("only a position", '{"symbol":"BTCUSDT","market_position":"short"}', symbol=BTC, side="short", position="short"),
    one(
        "a signed size",
        '{"symbol":"BTCUSDT","position_size":-2}',
        symbol=BTC,
        side="short",
        position="short",
        quantity=D(2),
        quantity_unit="base",
    ),
    one("a size of nothing", '{"symbol":"BTCUSDT","position_size":0}', symbol=BTC, side="close", position="flat"),
    one("the word flat", '{"symbol":"BTCUSDT","action":"flatten"}', symbol=BTC, side="close", position="flat"),
    one("exit all", "exitall BTCUSDT", symbol=BTC, side="close", position="flat"),
    one("close long", '{"symbol":"BTCUSDT","action":"close_long"}', symbol=BTC, side="close", closes="long"),
    one("exit and the order's word", '{"symbol":"BTCUSDT","action":"exit","side":"buy"}', symbol=BTC, side="close", closes="short"),
    one("close that position", '{"symbol":"BTCUSDT","action":"close","position":"long"}', symbol=BTC, side="close", closes="long"),
    one("two words", "exit long BTCUSDT", symbol=BTC, side="close", closes="long"),
    one("reverse", '{"symbol":"BTCUSDT","action":"flip"}', symbol=BTC, side="reverse"),
    one(
        "reduce",
        '{"symbol":"BTCUSDT","action":"reduce","qty":"25%"}',
        symbol=BTC,
        side="close",
        action="reduce",
        quantity=D(25),
        quantity_unit="percent",
    ),
    one(
        "increase",
        '{"symbol":"BTCUSDT","action":"increase","side":"long","qty":1}',
        symbol=BTC,
        side="long",
        quantity=D(1),
        quantity_unit="base",
    ),
    one("halt", '{"action":"halt"}', action="halt"),
    one("kill, spoken", f"kill secret={SECRET}", action="halt", secret=SECRET),
    one("emergency close of a symbol", '{"action":"emergency_close","symbol":"whatever this is"}', action="halt"),
    one(
        "dollars before",
        '{"symbol":"BTCUSDT","action":"buy","amount":"$250"}',
        symbol=BTC,
        side="long",
        quantity=D(250),
        quantity_unit="quote",
    ),
    one(
        "dollars behind",
        '{"symbol":"BTCUSDT","action":"buy","amount":"250 USDT"}',
        symbol=BTC,
        side="long",
        quantity=D(250),
        quantity_unit="quote",
    ),
    one(
        "dollar amount",
        '{"symbol":"BTCUSDT","action":"buy","quantity":99,"quantityType":"dollar_amount"}',
        symbol=BTC,
        side="long",
        quantity=D(99),
        quantity_unit="quote",
    ),
    one(
        "a sentence",
        "Alert on BTCUSDT: go long now! stop loss 49,000.5, take profit: 52000",
        symbol=BTC,
        side="long",
        stop=D("49000.5"),
        take_profit=D(52000),
    ),
    one(
        "quantity and price",
        "BUY 0.5 BTCUSDT @ 50000",
        symbol=BTC,
        side="long",
        quantity=D("0.5"),
        quantity_unit="base",
        price=D(50000),
    ),
    one("the secret spoken", f"secret {SECRET} BUY BTCUSDT", symbol=BTC, side="long", secret=SECRET),
    one("JSON in prose", 'Alert: {"symbol":"BTCUSDT","action":"buy"}', symbol=BTC, side="long"),
    one("JSON in a fence", '```json\n{"symbol":"BTCUSDT","action":"buy"}\n```', symbol=BTC, side="long"),
    one("JSON in a text", '"{\\"symbol\\":\\"BTCUSDT\\",\\"action\\":\\"buy\\"}"', symbol=BTC, side="long"),
    one(
        "a text in JSON",
        f'{{"secret":"{SECRET}","message":"BUY BTCUSDT qty=1"}}',
        symbol=BTC,
        side="long",
        quantity=D(1),
        quantity_unit="base",
        secret=SECRET,
    ),
    one(
        "text with order words",
        "acct BTCUSDT.P flat\nSECRET=" + SECRET,
        symbol=BTC,
        side="close",
        position="flat",
        strategy="acct",
        secret=SECRET,
    ),
    Message(
        "orders under a key",
        f'{{"secret":"{SECRET}","id":"b7","orders":[{{"symbol":"BTCUSDT","action":"buy"}},{{"symbol":"ETHUSDT","action":"sell"}}]}}',
        (
            {"symbol": BTC, "side": "long", "id": "b7/1", "secret": SECRET},
            {"symbol": ETH, "side": "short", "id": "b7/2", "secret": SECRET},
        ),
    ),
    Message(
        "one object a line",
        '{"symbol":"BTCUSDT","action":"buy"}\n{"symbol":"ETHUSDT","action":"sell"}',
        ({"symbol": BTC, "side": "long"}, {"symbol": ETH, "side": "short"}),
    ),
    Message(
        "lines that add to others",
        f"BUY BTCUSDT\nSL: 49000\nTP=52000\nSELL ETHUSDT\nSL: 2600\nsecret={SECRET}",
        (
            {"symbol": BTC, "side": "long", "stop": D(49000), "take_profit": D(52000), "secret": SECRET},
            {"symbol": ETH, "side": "short", "stop": D(2600), "secret": SECRET},
        ),
    ),
    one(
        "epoch ms",
        '{"symbol":"BTCUSDT","action":"buy","timenow":1769860807123}',
        symbol=BTC,
        side="long",
        time="2026-01-31T12:00:07.123Z",
    ),
    one(
        "epoch s as text",
        '{"symbol":"BTCUSDT","action":"buy","timenow":"1769860807"}',
        symbol=BTC,
        side="long",
        time="2026-01-31T12:00:07Z",
    ),
    one(
        "an offset",
        '{"symbol":"BTCUSDT","action":"buy","sent_at":"2026-01-31T13:00:07+0100"}',
        symbol=BTC,
        side="long",
        time="2026-01-31T12:00:07Z",
    ),
    one(
        "names are no actions",
        '{"symbol":"BTCUSDT","action":"buy","comment":"Short Exit","order_id":"Close all"}',
        symbol=BTC,
        side="long",
        order="Close all",
    ),
    one("a flag", '{"symbol":"BTCUSDT","buy":true}', symbol=BTC, side="long"),
)

BROKEN = (
    one(
        "comments",
        '{"symbol":"BTCUSDT", // the pair\n/* and\nthe */ "action":"buy"} # end',
        "line 1, column 22: a comment (//)",
        symbol=BTC,
        side="long",
    ),
    one("trailing commas", '{"symbol":"BTCUSDT","action":"buy",}', "line 1, column 35: a comma", symbol=BTC, side="long"),
    one(
        "unquoted value",
        '{"symbol":BTCUSDT,"action":"buy"}',
        "line 1, column 11: the value BTCUSDT has no quotes",
        symbol=BTC,
        side="long",
    ),
    one(
        "unquoted keys",
        '{symbol:"BTCUSDT",action:"buy"}',
        "line 1, column 2: the key symbol has no quotes",
        symbol=BTC,
        side="long",
    ),
    one("single quotes", "{'symbol':'BTCUSDT','action':'buy'}", "line 1, column 2: single quotes", symbol=BTC, side="long"),
    one("smart quotes", "{“symbol”:“BTCUSDT”,“action”:“buy”}", "line 1, column 2: “", symbol=BTC, side="long"),
    one(
        "NaN",
        '{"symbol":"BTCUSDT","action":"buy","indicators":{"rsi":NaN,"adx":3}}',
        "line 1, column 56: NaN",
        symbol=BTC,
        side="long",
        indicators={"adx": 3.0},
    ),
    one(
        "NaN as text",
        '{"symbol":"BTCUSDT","action":"buy","indicators":{"rsi":"NaN"}}',
        "the indicator rsi",
        symbol=BTC,
        side="long",
    ),
    one(
        "unresolved placeholder",
        '{"symbol":"BTCUSDT","action":"buy","indicators":{"rsi":{{plot_0}}}}',
        "{{plot_0}}",
        symbol=BTC,
        side="long",
    ),
    one(
        "unresolved name", '{"symbol":"BTCUSDT","action":"buy","id":"{{strategy.order.id}}"}', "unresolved", symbol=BTC, side="long"
    ),
    one("unresolved time", '{"symbol":"BTCUSDT","action":"close","timenow":"{{timenow}}"}', "unresolved", symbol=BTC, side="close"),
    one(
        "numbers as text",
        '{"symbol":"BTCUSDT","action":"buy","qty":"0.50","price":"50000"}',
        "written as text: qty, price",
        symbol=BTC,
        side="long",
        quantity=D("0.5"),
        quantity_unit="base",
        price=D(50000),
    ),
    one(
        "thousands",
        '{"symbol":"BTCUSDT","action":"buy","qty":"1,234.5"}',
        "commas",
        symbol=BTC,
        side="long",
        quantity=D("1234.5"),
        quantity_unit="base",
    ),
    one("CRLF", '{"symbol":"BTCUSDT",\r\n"action":"buy"}\r\n', "line 1, column 21: a line ends with CR", symbol=BTC, side="long"),
    one(
        "blanks after the secret",
        f'{{"symbol":"BTCUSDT","action":"buy","secret":"{SECRET}  "}}',
        "blanks around the secret",
        symbol=BTC,
        side="long",
        secret=SECRET,
    ),
    one(
        "CR after the secret",
        f"symbol=BTCUSDT\r\naction=buy\r\ntoken={SECRET} \r\n",
        "a line ends with CR",
        symbol=BTC,
        side="long",
        secret=SECRET,
    ),
    one("a missing comma", '{"symbol":"BTCUSDT" "action":"buy"}', "a comma is missing", symbol=BTC, side="long"),
    one("a missing value", '{"symbol":"BTCUSDT","action":"buy","price":}', "is missing", symbol=BTC, side="long"),
    one(
        "a quote inside",
        '{"symbol":"BTCUSDT","action":"buy","comment":"the "big" one"}',
        "a quote inside",
        symbol=BTC,
        side="long",
        order='the "big" one',
    ),
    one(
        "an open line",
        '{"symbol":"BTCUSDT","action":"buy","comment":"two\nlines"}',
        "not escaped",
        symbol=BTC,
        side="long",
        order="two?lines",
    ),
    one("a byte order mark", '﻿{"symbol":"BTCUSDT","action":"buy"}', "", symbol=BTC, side="long"),
    one(
        "an unquoted secret",
        f'{{"symbol":"BTCUSDT","action":"buy","secret":{SECRET}}}',
        "the value of this key has no quotes",
        symbol=BTC,
        side="long",
        secret=SECRET,
    ),
    one("an unreadable time", '{"symbol":"BTCUSDT","action":"buy","time":"yesterday"}', "is no time", symbol=BTC, side="long"),
    one("a stop in percent", '{"symbol":"BTCUSDT","action":"buy","sl":"2%"}', "is a percentage", symbol=BTC, side="long"),
)

ALL = (*GOOD, *LIKE_THEM, *BROKEN)
