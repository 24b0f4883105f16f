"""The case store: every case once on disk, at its native grid and type, read box by box."""
