"""Selling to vendors, whichever way they ask: what /v1 and XMLVend both do."""
