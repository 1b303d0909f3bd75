"""What a run will take and cost, told before anything is sent."""
