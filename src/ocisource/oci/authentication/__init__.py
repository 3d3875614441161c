"""Who asks: credentials, the keychains that hold them, and how a registry wants them shown."""
