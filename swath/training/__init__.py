"""What training reads: places held back, chips sampled from imagery with labels, and the numbers that describe them."""
