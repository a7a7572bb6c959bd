"""PySCF's own settings, in place of a `.pyscf_conf.py` in the current or the home folder.

PySCF executes the first such file that it finds when it is imported; `labeling/__init__.py` names this one.
So no label depends on who computes it and where, and no file that lies about is run.
"""

DISABLE_EVAL = True  # numbers in basis sets and geometries that are none are errors, not Python
ARGPARSE = False  # the command line is not PySCF's
