"""The commands this package hangs under ``enigma``. Each is imported when it is called."""
