"""What each case's numbers should be: one file for each area. A rule takes `Facts`."""
