"""Double entry: every movement of money is an entry that sums to zero and never changes."""
