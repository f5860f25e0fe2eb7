//! Against a whole-buffer reference.
