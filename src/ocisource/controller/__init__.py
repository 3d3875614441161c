"""The machinery of a Kubernetes controller: reflector, informer, workqueue, lease. Knows no OCI."""
