"""Meters, on paper and in PostgreSQL."""
