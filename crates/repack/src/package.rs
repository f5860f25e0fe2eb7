//! Drafts become package files.
