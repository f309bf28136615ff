"""A vision-language-action planner after AutoVLA (arXiv 2506.13757), at a size that runs here."""
