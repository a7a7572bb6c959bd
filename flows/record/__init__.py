"""What a campaign keeps on disk: folder, stages, results, lock."""
