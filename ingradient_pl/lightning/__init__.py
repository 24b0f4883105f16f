"""The shell: hooks that call the core."""
