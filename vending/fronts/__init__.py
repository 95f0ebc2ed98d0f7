"""More processes for one server: fronts that speak HTTP and hand everything to the core."""
