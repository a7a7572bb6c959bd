"""What chemists ask of a potential: structures, frequencies, scans, each with what its members say."""
