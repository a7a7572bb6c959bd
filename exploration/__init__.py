"""Molecular dynamics, uncertainty, physical filters and selection. Knows neither Prefect nor MLflow."""
