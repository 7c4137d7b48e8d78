"""The built-in plugins, one part a file."""
