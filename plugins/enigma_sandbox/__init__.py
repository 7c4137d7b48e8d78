"""A local exchange that speaks KuCoin Futures: REST and WebSocket, public and private, to any client of the real one."""
