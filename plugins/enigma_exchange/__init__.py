"""Reaching an exchange: its protocol, its limits, and an account on it. Feeds and executors stand on this."""
