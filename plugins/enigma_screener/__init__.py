"""The screener: every market scored as trading would score it, and ranked."""
