//! What a live object's state means.
