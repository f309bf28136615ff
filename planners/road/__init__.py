"""What planners on roads share."""
