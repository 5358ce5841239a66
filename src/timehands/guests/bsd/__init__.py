"""What NetBSD and OpenBSD share: timecounters, DELAY through a pointer, the LAPIC's timer."""
