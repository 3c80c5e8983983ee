"""How a run runs: config, plan, run directory, runners, command line."""
