"""How a model runs: one interface (`backend`), a file for each way, one place that chooses (`choose`)."""
