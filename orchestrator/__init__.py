"""The orchestrator: accepts requests now and runs them later, each to its end and with effect once."""
