"""The road of one artifact: resolve, pull, publish. Knows no Kubernetes."""
