"""SUMO beside our loop: the simulation in this process, and the traffic that it drives."""
