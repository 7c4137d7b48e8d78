"""The built-in notifiers, one part a file."""
