"""Raw assets: land what vendors answer, never interpret it."""
