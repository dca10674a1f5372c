//! Kubernetes API servers as targets.
