"""The baseline of all learned planners: one trajectory, learned by imitation."""
