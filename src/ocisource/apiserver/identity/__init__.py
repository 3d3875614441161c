"""Who asks, and whom they reach: users, tokens and what they may; certificate, kubeconfig."""
