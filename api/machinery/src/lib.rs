//! Kubernetes API machinery without a server.
