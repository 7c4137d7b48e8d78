"""Miniature Enigma: a strategy engine for crypto perpetual futures."""
