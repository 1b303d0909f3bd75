"""The server of stores that several hosts share: its address, its connection."""
