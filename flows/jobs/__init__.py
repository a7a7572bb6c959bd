"""Stages that are computed as one job: a training, an exploration, on a node that an engine finds for it."""
