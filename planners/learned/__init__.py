"""What learned planners share: senses, memory, batches, weights, and the plan made of a network's answer."""
