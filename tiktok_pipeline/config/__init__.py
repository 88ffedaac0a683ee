"""What the operator writes: settings, roster, known gifts, and the access to vendors."""
