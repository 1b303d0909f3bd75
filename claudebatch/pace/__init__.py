"""How fast a pool of models may be asked: pure decisions that take the moment as an argument and never wait."""
