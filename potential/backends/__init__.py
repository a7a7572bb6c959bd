"""How a model runs: autograd, compiled blocks, dual numbers."""
