"""The built-in indicators, one part a file."""
