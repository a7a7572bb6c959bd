"""The loop of active learning as a Prefect flow."""
