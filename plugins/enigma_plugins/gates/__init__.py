"""The built-in gates, one part a file."""
