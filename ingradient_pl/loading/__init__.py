"""From the store to a data loader: patches by number, batches in shared memory."""
