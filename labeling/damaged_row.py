"""What a label store that cannot be read raises. It imports nothing: errors are named early."""


class DamagedRowError(ValueError):
    """A row of a label store that cannot be read; the message says which and why."""


class NoLabelStoreError(ValueError):
    """A database of another program; the message says which."""
