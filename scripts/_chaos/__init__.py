"""What ``scripts/chaos`` runs: real processes that are killed, frozen and cut off by a table, and a check of what is left."""
