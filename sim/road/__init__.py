"""The road as an agent on it sees it: the way that it follows, and the table of that way's line."""
