"""Fused kernels for CUDA, each beside torch operators that compute the same."""
