"""Mobile-money dialects: one pure module for each, from the operator's bytes to our values."""
