"""Attempts to break the toolkit: spoilt files, kills, thousands of scenes; see `__main__`."""
