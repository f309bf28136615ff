"""The golden comparison with the nuPlan devkit: our score on its drives, and our loop against its loop.

Only `python -m drive.eval.devkit` needs the devkit; the numbers that it wrote are tested without.
"""
