"""Fused kernels for CUDA, each beside torch operators that compute the same."""

__all__ = ["availability", "dice_ce", "matrices", "noise", "norm"]  # modules
