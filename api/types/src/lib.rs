//! Kinds by group and version.
