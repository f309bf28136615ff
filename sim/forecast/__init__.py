"""Forecasts of others, bent along lanes and learned from drives. The contract is `drive.forecast`."""
