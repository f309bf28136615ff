"""The parts of `drive.nn.fit`: settings, gradients, checkpoints, the log."""
