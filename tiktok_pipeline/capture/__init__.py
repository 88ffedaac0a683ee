"""The client side of every call: who is due, politeness, budget, retries, and landing what came. No Dagster."""
