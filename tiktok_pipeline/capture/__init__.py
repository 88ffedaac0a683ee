"""Poll vendors and land their responses: poll order, rate limits, budgets, retries, raw rows. No Dagster."""
