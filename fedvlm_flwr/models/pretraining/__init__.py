"""How the tiny models are made: public records, stages of training, their recipes."""
