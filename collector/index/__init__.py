"""What index servers must know, and the way to them."""
