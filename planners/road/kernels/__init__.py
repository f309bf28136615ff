"""Loops over the reference line: projection, Frenet states, room beside it, forecasts, gaps at lines."""
