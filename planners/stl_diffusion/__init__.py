"""A diffusion policy over controls that obeys a formula of signal temporal logic with parameters."""
