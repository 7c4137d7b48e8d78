"""KuCoin's market data as it comes: the sockets, and what their messages are put together to."""
