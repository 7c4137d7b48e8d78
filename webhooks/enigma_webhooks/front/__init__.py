"""The front door: who sends, whether he may, what his message is, and what he is told. Everything hostile ends here."""
