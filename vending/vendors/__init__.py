"""Third parties who sell for the utility: who they are, their money with us, what they earn."""
