"""What can be compared: one file per way of reaching it. All speak `base.Candidate`."""
