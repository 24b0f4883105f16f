"""nnU-Net's files: plans, checkpoints, trained models and the names of its weights."""
