"""Deterministic simulation: the whole engine and the local exchange on virtual time, faults out of a seed."""
