"""Hydra-NeXt: a scored vocabulary, a control decoder and a diffusion policy, fused into one control."""
