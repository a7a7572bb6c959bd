"""Frames, labels, datasets, files, units. Free of torch: all of `potential` that labelling may import."""
