"""The built-in microstructure, one part a file."""
