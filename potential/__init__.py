"""NequIP, the committee, training, data types and calculators. Knows neither Prefect nor MLflow."""
