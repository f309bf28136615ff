"""Hydra configuration for the devkit: `hydra.searchpath=[..., pkg://drive.sim.nuplan.conf]`."""
