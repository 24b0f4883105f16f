"""How far a pyramid of logits is from the truth."""
