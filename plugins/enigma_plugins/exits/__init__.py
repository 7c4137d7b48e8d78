"""The built-in exits, one part a file."""
