"""The fused convolution: C++ generated from the Clebsch-Gordan table, built on first use."""
