"""The data set decides the settings, once."""
