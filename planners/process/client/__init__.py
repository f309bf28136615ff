"""What a planner in its own process imports: `drive_client.py`, one file, standard library and NumPy only."""
