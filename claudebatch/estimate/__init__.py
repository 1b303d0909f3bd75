"""The tokens, time and cost of a run, estimated before anything is sent."""
