//! Plans laid into a folder.
