"""Telling vendors what happened, by the Standard Webhooks specification: signed, at least once."""
