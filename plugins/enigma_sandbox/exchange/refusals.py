"""What the exchange says no with: KuCoin's codes and words."""

from __future__ import annotations

OK = "200000"


class Refusal(Exception):
    """A request is not done. `code` is KuCoin's, `status` the HTTP status it comes with (KuCoin says most of its noes with 200)."""

    def __init__(self, code: str, text: str, status: int = 200) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.status = status


def parameter(text: str) -> Refusal:
    """A parameter is missing or makes no sense."""
    return Refusal("400100", text, 400)


def no_symbol(symbol: str) -> Refusal:
    return Refusal("200003", f"The symbol parameter is invalid. ({symbol or 'empty'})")


def no_order() -> Refusal:
    return Refusal("100001", "error.getOrder.orderNotExist")


def not_cancelable() -> Refusal:
    return Refusal("100004", "Order is in not cancelable state")


def nothing_to_close() -> Refusal:
    return Refusal("300009", "No open positions to close.")


def repeated() -> Refusal:
    return Refusal("300018", "clientOid parameter repeated")
