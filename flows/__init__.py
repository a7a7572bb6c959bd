"""The campaign: thin Prefect flows and tasks, state on disk, MLflow tracking, the command line."""
