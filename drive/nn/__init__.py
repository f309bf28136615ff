"""What learned planners share. Arrays and files need NumPy alone; networks need the extra `learn`."""
