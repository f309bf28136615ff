"""GTRS (Li et al. 2025, "Generalized Trajectory Scoring for End-to-end Multimodal Planning"): trajectories of
a vocabulary and of a diffusion generator are scored by heads that learnt a rule-based teacher's verdicts."""
