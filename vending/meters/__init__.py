"""Meters: their numbers and records, where they are found, and how a file of them comes in."""
