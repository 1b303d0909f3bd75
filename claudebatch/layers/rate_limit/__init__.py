"""No 429s: how fast each pool of models may be asked."""
