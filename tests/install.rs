//! What the produced installers do on the target.
