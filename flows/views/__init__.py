"""What people see of a campaign: terminal, figures, report."""
