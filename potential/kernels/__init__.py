"""The fused convolution: C++ and Triton generated from the Clebsch-Gordan table, built on first use."""
