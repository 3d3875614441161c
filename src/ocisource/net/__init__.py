"""What every network client needs: TLS contexts, proxies, back-off, redaction, address checks."""
