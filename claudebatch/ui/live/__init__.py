"""What is shown while a run goes on: the progress display and its parts."""
