"""Everything done to voxels after they reach the device."""
