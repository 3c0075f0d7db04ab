"""Changing a source's API credentials at its bank, so that no secret is lost and no genuine callback refused."""
