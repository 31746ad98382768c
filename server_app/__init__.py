"""The ServerApp: stages of federated rounds, evaluation by generation, the run folder."""
