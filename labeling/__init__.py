"""Reference labels: level of theory, PySCF, checks and the label store. Free of torch."""
