"""What is decided before anything is sent: the checked input, the routes, the estimate."""
