"""Load tests with other people's tools; `vending loadtest` is the product's own."""
