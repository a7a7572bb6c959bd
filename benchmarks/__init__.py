"""Measurements. Run them on an otherwise idle machine; ratios are interleaved in one run."""
