"""How fast the whole product is, as ratios that another machine can repeat: `make bench`."""
