"""Which box of which case comes next; reads no voxels."""
