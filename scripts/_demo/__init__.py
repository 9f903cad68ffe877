"""What ``scripts/demo`` runs: a broker, a gateway and simulated terminals on this machine, one campaign, a judge."""
