"""The built-in executors, one part a file."""
