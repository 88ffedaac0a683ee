"""The operator's configuration: settings, roster, known gifts, and access to vendors."""
