"""The built-in feeds, one part a file."""
