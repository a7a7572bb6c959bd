"""Campaigns as deployments of Prefect: the step that a schedule runs, and how it gets onto a server."""
