"""What is kept on disk or in memory: journal, spend ledger, response cache, pools, budget. Fits what layers ask for."""
