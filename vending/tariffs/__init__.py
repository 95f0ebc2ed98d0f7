"""What electricity costs: tariffs as values, quotes by exact arithmetic, versions by date."""
