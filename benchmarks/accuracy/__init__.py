"""How right the derived numbers are, on simulated data whose truth is known. See docs/methods.md."""
