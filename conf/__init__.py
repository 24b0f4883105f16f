"""The shipped configuration: one folder per constructor, one file per variant."""
