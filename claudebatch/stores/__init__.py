"""What is kept on disk or in memory: journal, spend ledger, response cache, pools, budget. Fits the layers' protocols."""
