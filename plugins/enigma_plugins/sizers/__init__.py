"""The built-in sizers, one part a file."""
