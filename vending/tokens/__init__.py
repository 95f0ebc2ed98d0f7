"""Tokens: which identifier comes next, who holds the keys, and the one caller of the STS core."""
