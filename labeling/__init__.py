"""Reference labels: level of theory, PySCF, checks and the label store. Free of torch."""

import os
from pathlib import Path

# Before anything here imports PySCF, which reads it once; see there.
os.environ["PYSCF_CONFIG_FILE"] = str(Path(__file__).with_name("pyscf_conf.py"))
