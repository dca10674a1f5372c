//! The tamper-evident ledger, without its disk.
