"""The built-in algorithms, one part a file."""
