"""Image in, pyramid of logits out, finest first."""
