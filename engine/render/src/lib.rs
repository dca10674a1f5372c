//! From a tree to objects.
