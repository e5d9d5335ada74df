"""The built-in voxel world."""
