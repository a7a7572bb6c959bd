"""Prefect as this project runs it."""
