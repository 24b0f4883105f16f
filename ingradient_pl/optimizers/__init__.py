"""How weights step down the slope."""
