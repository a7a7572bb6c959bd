"""The steps of the loop, a Prefect task each."""
