"""What each command does, as a function of the same name that takes paths or objects and returns objects."""
