"""Questions to past switches, and who answers them."""
