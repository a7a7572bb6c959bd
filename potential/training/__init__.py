"""Training of a committee: batches, loss, schedule, checkpoints."""
