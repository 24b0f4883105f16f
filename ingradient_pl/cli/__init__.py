"""Entry points: Hydra and jsonargparse end here."""
