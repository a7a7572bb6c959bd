"""What a campaign tells MLflow."""
