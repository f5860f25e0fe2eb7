//! userland
