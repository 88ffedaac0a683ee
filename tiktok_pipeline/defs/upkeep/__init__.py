"""What keeps a deployment small and fast: one job, once a day."""
