//! The list of frames, between the last frame and the trailer.

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;

/// Where one zstd stream lies in the file, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Position of the first byte, counted from the start of the file.
    pub offset: u64,
    /// Compressed length in bytes.
    pub length: u64,
    /// Decoded length in bytes.
    pub size: u64,
    /// Digest of the compressed bytes.
    pub sha256: Sha256,
}

/// What lies between runtime and trailer. Frames stand back to back, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// All frames.
    pub frames: Vec<Frame>,
    /// The number of the frame that holds the plan.
    pub plan: usize,
}
