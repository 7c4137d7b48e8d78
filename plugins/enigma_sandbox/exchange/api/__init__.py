"""The REST endpoints, by service."""
