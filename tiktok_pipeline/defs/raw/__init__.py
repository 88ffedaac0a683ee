"""Raw assets: store vendors' responses without interpretation."""
