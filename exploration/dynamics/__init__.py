"""Molecular dynamics of many replicas, all in one call of the force model per step."""
