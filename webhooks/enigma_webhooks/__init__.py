"""Alerts from outside: what a message asks for, the HTTP server that takes it in, the API, and the commands about them."""
