"""The campaign's configuration and its YAML file."""
