"""Learning-curve studies on labelled pools, as a Prefect flow."""
