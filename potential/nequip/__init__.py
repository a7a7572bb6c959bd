"""The NequIP committee in plain torch: batches, neighbours, graph, interaction blocks."""
