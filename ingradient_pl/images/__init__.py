"""Image files <-> voxels and geometry: NIfTI, NRRD, MetaImage, DICOM, npz + pkl pairs."""
