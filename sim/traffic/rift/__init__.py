"""Traffic `rift`: a multimodal policy, learned by imitation and tuned in closed loop for a style."""
