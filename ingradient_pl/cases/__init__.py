"""What a case is, and its way off the disk."""
