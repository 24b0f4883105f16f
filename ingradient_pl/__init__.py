"""nnU-Net's method as a PyTorch Lightning application; importing the package imports nothing heavy."""

__version__ = "0.1.0"
